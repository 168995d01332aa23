//! What holds whatever the code forgets.

use domain::clock::Clock;
use domain::testing::{Login, TestDatabase};
use domain::{Db, Environment};

#[tokio::test]
async fn the_reviewed_security_is_what_a_new_database_has() {
    let database = TestDatabase::new().await;
    for login in [Login::Api, Login::Worker] {
        let db = Db::connect(&database.config(login, &[]), "test", Clock::system()).unwrap();
        db.verify(Environment::Development).await.unwrap();
        assert!(db.verify(Environment::Production).await.is_err());
    }
}
