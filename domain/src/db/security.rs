//! What must hold before a process serves: the database is this environment's, and everything that
//! decides who sees what is as it was reviewed.

use std::collections::BTreeSet;

use super::Db;
use crate::config::Environment;
use crate::error::{Error, Result};

const EXPECTED: &str = include_str!("../../../migration/security.txt");
const QUERY: &str = include_str!("../../../migration/src/sql/security.sql");

impl Db {
    /// Compares roles, grants, policies, functions, views and triggers with the reviewed list, and the
    /// database's stamp with this process's environment.
    ///
    /// # Errors
    /// [`Error::Internal`] naming each difference; [`Error::Unavailable`] without a database.
    pub async fn verify(&self, environment: Environment) -> Result<()> {
        let tx = self
            .open(None, uuid::Uuid::nil(), "BEGIN READ ONLY".to_owned())
            .await?;
        let stamp = tx
            .text("SELECT name FROM environment")
            .await
            .map_err(|error| match error {
                Error::Internal(_) => Error::internal("the database has not been migrated: run `migrate up`"),
                other => other,
            })?;
        if stamp != [environment.as_str()] {
            return Err(Error::internal(format!(
                "the database belongs to {stamp:?}, and APP_ENV is {}",
                environment.as_str()
            )));
        }
        let found = tx.text(QUERY).await?;
        let differences = differences(EXPECTED, &found);
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::internal(format!(
            "the database's roles, grants or policies differ from migration/security.txt:\n{}",
            differences.join("\n")
        )))
    }

    /// Whether the database answers; for readiness.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ping(&self) -> Result<()> {
        let tx = self
            .open(None, uuid::Uuid::nil(), "BEGIN READ ONLY".to_owned())
            .await?;
        tx.text("SELECT name FROM environment").await.map(drop)
    }
}

fn differences(expected: &str, found: &[String]) -> Vec<String> {
    let expected: BTreeSet<&str> = expected.lines().collect();
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let missing = expected.difference(&found).map(|line| format!("- {line}"));
    let added = found.difference(&expected).map(|line| format!("+ {line}"));
    missing.chain(added).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named_with_its_direction() {
        let found = ["table b RLS".to_owned(), "table c NO RLS".to_owned()];
        assert_eq!(
            differences("table a RLS\ntable b RLS", &found),
            ["- table a RLS", "+ table c NO RLS"]
        );
    }
}
