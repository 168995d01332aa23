//! Imports, from the bytes of a file to contacts and the outcome of each row.

mod faults;
mod files;
mod rules;
mod uploads;

use std::fmt::Write;

use domain::import::{self, Format, Import, ImportRow, ImportState, run::run};
use domain::page::PageRequest;
use domain::testing::{Login, TestDatabase};
use domain::{Db, Viewer, upload};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

/// A database, a worker's way to it, and one user.
struct World {
    database: TestDatabase,
    db: Db,
    admin: PgPool,
    ada: Viewer,
}

impl World {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let admin = PgPool::connect(database.admin_url().as_str()).await.unwrap();
        let db = database.connect(Login::Worker);
        let ada = database.user(&db).await;
        let world = Self {
            database,
            db,
            admin,
            ada,
        };
        world.sql("UPDATE app_user SET phone_region = 'DE'").await;
        world
    }

    async fn other_user(&self) -> Viewer {
        self.database.user(&self.db).await
    }

    async fn upload(&self, filename: &str, pieces: impl Iterator<Item = Vec<u8>>) -> Uuid {
        let tx = self.db.begin(&self.ada).await.unwrap();
        let id = upload::begin(&tx, Some(filename)).await.unwrap();
        for (position, piece) in (0..).zip(pieces) {
            upload::append(&tx, id, position, &piece).await.unwrap();
        }
        upload::finish(&tx, id).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn start(&self, filename: &str, pieces: impl Iterator<Item = Vec<u8>>) -> Uuid {
        let file = self.upload(filename, pieces).await;
        let tx = self.db.begin(&self.ada).await.unwrap();
        let import = import::start(&tx, file, Format::GoogleCsv).await.unwrap();
        assert_eq!(import.state, ImportState::Queued);
        tx.commit().await.unwrap();
        import.id
    }

    async fn import(&self, filename: &str, bytes: impl AsRef<[u8]>) -> Import {
        let id = self
            .start(filename, bytes.as_ref().chunks(1000).map(<[u8]>::to_vec))
            .await;
        run(&self.db, &self.ada, id).await.unwrap();
        self.get(id).await
    }

    async fn get(&self, id: Uuid) -> Import {
        let tx = self.db.read(&self.ada).await.unwrap();
        import::get(&tx, id).await.unwrap().unwrap()
    }

    async fn rows(&self, id: Uuid) -> Vec<ImportRow> {
        let tx = self.db.read(&self.ada).await.unwrap();
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let request = PageRequest::new(Some(100), None, after, None).unwrap();
            let page = import::rows(&tx, id, None, &request).await.unwrap();
            after = page.items.last().map(ImportRow::cursor);
            rows.extend(page.items);
            if !page.has_next {
                return rows;
            }
        }
    }

    /// A line for each row: number, line, outcome, code, column, and the contact it belongs to.
    async fn outcomes(&self, id: Uuid) -> String {
        let mut out = String::new();
        for row in self.rows(id).await {
            let contact: Option<String> =
                sqlx::query_scalar("SELECT display_name FROM contact WHERE id = $1")
                    .bind(row.contact_id)
                    .fetch_optional(&self.admin)
                    .await
                    .unwrap();
            writeln!(
                out,
                "{} @{} {} {} {} {}",
                row.row,
                row.line,
                row.outcome.as_str(),
                row.code.as_deref().unwrap_or("-"),
                row.column.as_deref().unwrap_or("-"),
                contact.as_deref().unwrap_or("-"),
            )
            .unwrap();
        }
        out
    }

    async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&self.admin)
            .await
            .unwrap()
    }

    /// The texts of a query's one column, in its order.
    async fn texts(&self, sql: &str) -> Vec<String> {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&self.admin)
            .await
            .unwrap()
    }

    async fn sql(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&self.admin)
            .await
            .unwrap();
    }

    /// The bodies of the notes of contacts with that display name, opened.
    async fn notes(&self, display_name: &str) -> Vec<String> {
        let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(
            "SELECT n.id, n.body FROM note n JOIN contact c ON c.id = n.contact_id WHERE c.display_name = $1 ORDER BY n.id",
        )
        .bind(display_name)
        .fetch_all(&self.admin)
        .await
        .unwrap();
        let tx = self.db.read(&self.ada).await.unwrap();
        let mut notes = Vec::new();
        for (id, body) in rows {
            let body = entity::Ciphertext::from_sealed(body);
            let opened = tx.open(domain::note::BODY, id, &body).await.unwrap();
            notes.push(String::from_utf8(opened.to_vec()).unwrap());
        }
        notes
    }
}

/// Created, updated, skipped, rejected; checked against the total and the rows.
fn counts(import: &Import) -> [u32; 4] {
    let counts = [import.created, import.updated, import.skipped, import.rejected];
    assert_eq!(counts.iter().sum::<u32>(), import.rows_total);
    counts
}
