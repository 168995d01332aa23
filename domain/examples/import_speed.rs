//! Imports a file of invented people into a database of its own, and prints how fast that went and how
//! much memory it took.
//!
//!     TEST_DATABASE_URL=… TEST_REDIS_URL=… cargo run --release -p domain --example import_speed -- 20000

use std::time::Instant;

use domain::import::{self, Format, run::run, sample::google_csv};
use domain::testing::{Login, TestDatabase};
use domain::{Db, Result, Viewer, upload};
use uuid::Uuid;

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let rows: usize = std::env::args().nth(1).as_deref().unwrap_or("20000").parse()?;
    let database = TestDatabase::new().await;
    let db = database.connect(Login::Worker);
    let viewer = database.user(&db).await;

    for name in ["first", "second"] {
        let id = send(&db, &viewer, rows).await?;
        let begun = Instant::now();
        run(&db, &viewer, id).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let tx = db.read(&viewer).await?;
        let done = import::get(&tx, id).await?.ok_or("the import is gone")?;
        println!(
            "{name} time: {} rows ({} created, {} updated, {} skipped, {} rejected) in {seconds:.2} s: {:.0} rows/s; peak memory {}",
            done.rows_total,
            done.created,
            done.updated,
            done.skipped,
            done.rejected,
            f64::from(done.rows_total) / seconds,
            peak_memory(),
        );
    }
    db.close().await;
    Ok(())
}

async fn send(db: &Db, viewer: &Viewer, rows: usize) -> Result<Uuid> {
    let tx = db.begin(viewer).await?;
    let file = upload::begin(&tx, Some("speed.csv")).await?;
    for (position, piece) in (0..).zip(google_csv(rows, 1)) {
        upload::append(&tx, file, position, &piece).await?;
    }
    upload::finish(&tx, file).await?;
    let id = import::start(&tx, file, Format::GoogleCsv).await?.id;
    tx.commit().await?;
    Ok(id)
}

/// As Linux counts it for this process.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |line| line.trim().to_owned())
}
