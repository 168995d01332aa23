//! Files on their way in.

use domain::import::{self, Format};
use domain::page::PageRequest;
use domain::upload::{self, PIECE_BYTES};
use domain::{Code, Error};
use uuid::Uuid;

use super::World;

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Code {
    match result.unwrap_err() {
        Error::Invalid(errors) => errors[0].code,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn pieces_come_back_as_they_went_and_are_stored_sealed() {
    let world = World::new().await;
    let id = world
        .upload("a.csv", [b"first piece".to_vec(), b"second".to_vec()].into_iter())
        .await;
    let tx = world.db.read(&world.ada).await.unwrap();
    let piece = upload::read_chunk(&tx, id, 0).await.unwrap().unwrap();
    assert_eq!(piece.as_slice(), b"first piece");
    assert_eq!(
        upload::read_chunk(&tx, id, 1).await.unwrap().unwrap().as_slice(),
        b"second"
    );
    assert!(upload::read_chunk(&tx, id, 2).await.unwrap().is_none());
    let plain = "SELECT count(*) FROM upload_chunk WHERE position(convert_to('piece', 'UTF8') IN body) > 0";
    assert_eq!(world.number(plain).await, 0);
}

#[tokio::test]
async fn a_piece_in_another_place_does_not_open() {
    let world = World::new().await;
    let id = world
        .upload("a.csv", [b"one".to_vec(), b"two".to_vec()].into_iter())
        .await;
    world.sql("UPDATE upload_chunk SET body = (SELECT body FROM upload_chunk WHERE position = 0) WHERE position = 1").await;
    let tx = world.db.read(&world.ada).await.unwrap();
    assert!(upload::read_chunk(&tx, id, 0).await.unwrap().is_some());
    assert!(matches!(
        upload::read_chunk(&tx, id, 1).await,
        Err(Error::Internal(_))
    ));
}

#[tokio::test]
async fn pieces_come_in_order_and_a_finished_file_takes_none() {
    let world = World::new().await;
    let tx = world.db.begin(&world.ada).await.unwrap();
    let id = upload::begin(&tx, None).await.unwrap();
    assert_eq!(code(upload::append(&tx, id, 1, b"x").await), Code::FileUnusable);
    upload::append(&tx, id, 0, b"x").await.unwrap();
    assert_eq!(code(upload::append(&tx, id, 0, b"x").await), Code::FileUnusable);
    assert!(matches!(
        upload::append(&tx, id, 1, &vec![0; PIECE_BYTES + 1]).await,
        Err(Error::Internal(_))
    ));
    assert_eq!(
        code(import::start(&tx, id, Format::GoogleCsv).await),
        Code::FileUnusable
    );
    let done = upload::finish(&tx, id).await.unwrap();
    assert_eq!((done.size, done.chunks), (1, 1));
    assert_eq!(code(upload::finish(&tx, id).await), Code::FileUnusable);
    assert_eq!(code(upload::append(&tx, id, 1, b"x").await), Code::FileUnusable);
}

#[tokio::test]
async fn a_file_has_a_hundred_megabytes_at_most() {
    let world = World::new().await;
    let tx = world.db.begin(&world.ada).await.unwrap();
    let id = upload::begin(&tx, Some("big.csv")).await.unwrap();
    let piece = vec![b'x'; PIECE_BYTES];
    for position in 0..400 {
        upload::append(&tx, id, position, &piece).await.unwrap();
    }
    assert_eq!(code(upload::append(&tx, id, 400, b"x").await), Code::FileTooLarge);
}

#[tokio::test]
async fn a_file_is_used_once_and_only_by_its_owner() {
    let world = World::new().await;
    let bob = world.other_user().await;
    let id = world
        .upload("a.csv", [b"First Name,Labels\nAnn,\n".to_vec()].into_iter())
        .await;
    let tx = world.db.begin(&bob).await.unwrap();
    assert_eq!(
        code(import::start(&tx, id, Format::GoogleCsv).await),
        Code::FileUnusable
    );
    assert_eq!(
        code(import::start(&tx, Uuid::nil(), Format::GoogleCsv).await),
        Code::FileUnusable
    );
    assert_eq!(code(upload::append(&tx, id, 1, b"x").await), Code::FileUnusable);
    assert!(!upload::abandon(&tx, id).await.unwrap());
    drop(tx);

    let tx = world.db.begin(&world.ada).await.unwrap();
    let import = import::start(&tx, id, Format::GoogleCsv).await.unwrap();
    assert_eq!(
        code(import::start(&tx, id, Format::GoogleCsv).await),
        Code::FileUnusable
    );
    assert!(!upload::abandon(&tx, id).await.unwrap());
    tx.commit().await.unwrap();
    let jobs = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'run-import'";
    assert_eq!(world.number(jobs).await, 1);

    let tx = world.db.begin(&bob).await.unwrap();
    assert!(import::get(&tx, import.id).await.unwrap().is_none());
    assert!(!import::run::fail(&tx, import.id, "X").await.unwrap());
    let all = PageRequest::new(None, None, None, None).unwrap();
    assert!(import::list(&tx, &all).await.unwrap().items.is_empty());
    tx.commit().await.unwrap();
    import::run::run(&world.db, &bob, import.id).await.unwrap();
    assert_eq!(world.get(import.id).await.state, import::ImportState::Queued);
}

#[tokio::test]
async fn what_is_rolled_back_leaves_neither_import_nor_job() {
    let world = World::new().await;
    let id = world
        .upload("a.csv", [b"First Name,Labels\nAnn,\n".to_vec()].into_iter())
        .await;
    let tx = world.db.begin(&world.ada).await.unwrap();
    import::start(&tx, id, Format::GoogleCsv).await.unwrap();
    drop(tx);
    let tx = world.db.begin(&world.ada).await.unwrap();
    assert!(upload::abandon(&tx, id).await.unwrap());
    tx.commit().await.unwrap();
    for table in ["import", "apalis.jobs", "upload", "upload_chunk"] {
        assert_eq!(
            world.number(&format!("SELECT count(*) FROM {table}")).await,
            0,
            "{table}"
        );
    }
}

#[tokio::test]
async fn rows_and_imports_are_paged_both_ways() {
    let world = World::new().await;
    let rows = world
        .import("a.csv", "First Name,Labels\nAnn,\n,x\nCy,\n,y\nEve,\n")
        .await;
    let newer = world.import("b.csv", "First Name,Labels\nZoe,\n").await;
    let tx = world.db.read(&world.ada).await.unwrap();
    let page = |first, last, after: Option<&String>, before: Option<&String>| {
        PageRequest::new(first, last, after.cloned(), before.cloned()).unwrap()
    };
    let numbers = async |outcome, request| {
        let page = import::rows(&tx, rows.id, outcome, &request).await.unwrap();
        let numbers: Vec<_> = page.items.iter().map(|row| row.row).collect();
        (
            numbers,
            page.items.last().unwrap().cursor(),
            page.has_next,
            page.has_previous,
        )
    };
    let (first, cursor, more, _) = numbers(None, page(Some(2), None, None, None)).await;
    assert_eq!((first, more), (vec![1, 2], true));
    let (second, cursor, ..) = numbers(None, page(Some(2), None, Some(&cursor), None)).await;
    assert_eq!(second, [3, 4]);
    let (back, _, _, more) = numbers(None, page(None, Some(2), None, Some(&cursor))).await;
    assert_eq!((back, more), (vec![2, 3], true));
    let rejected = numbers(
        Some(import::RowOutcome::Rejected),
        page(Some(9), None, None, None),
    )
    .await;
    assert_eq!((rejected.0, rejected.2), (vec![2, 4], false));

    let newest = import::list(&tx, &page(Some(1), None, None, None)).await.unwrap();
    assert_eq!(newest.items[0].id, newer.id);
    let next = page(Some(1), None, Some(&newest.items[0].cursor()), None);
    assert_eq!(import::list(&tx, &next).await.unwrap().items[0].id, rows.id);
    let strange = page(Some(1), None, Some(&newest.items[0].cursor()), None);
    assert_eq!(
        code(import::rows(&tx, rows.id, None, &strange).await),
        Code::Invalid
    );
}
