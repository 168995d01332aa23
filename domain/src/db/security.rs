//! What must hold before a process serves: the database is this environment's, and everything that
//! decides who sees what is as it was reviewed.

use std::collections::BTreeSet;

use super::Db;
use crate::config::Environment;
use crate::error::{Error, Result};

const EXPECTED: &str = include_str!("../../../migration/security.txt");
const QUERY: &str = include_str!("../../../migration/src/sql/security.sql");

/// The newest migration; a test holds it to the list.
pub const NEWEST: &str = "0007_account_deletion";

/// Which of the two binaries a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// The API.
    Api,
    /// The worker.
    Worker,
}

impl Binary {
    /// The role that its logins are members of, and of no other.
    fn role(self) -> &'static str {
        match self {
            Self::Api => "crm_api",
            Self::Worker => "crm_worker",
        }
    }
}

/// What is too much about the role that this process is logged in as; nothing, if it is as it should be.
const LOGIN: &str = "\
    SELECT 'login ' || rolname || concat( \
        CASE WHEN rolsuper THEN ' SUPERUSER' END, CASE WHEN rolbypassrls THEN ' BYPASSRLS' END, \
        CASE WHEN rolcreaterole THEN ' CREATEROLE' END, CASE WHEN rolcreatedb THEN ' CREATEDB' END, \
        CASE WHEN rolreplication THEN ' REPLICATION' END) \
    FROM pg_roles WHERE rolname = session_user \
      AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication) \
    UNION ALL \
    SELECT 'login owns ' || relname FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles WHERE rolname = session_user) \
    UNION ALL \
    SELECT 'login is a member of ' || g.rolname FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid \
    WHERE a.member = (SELECT oid FROM pg_roles WHERE rolname = session_user)";

impl Db {
    /// Compares roles, grants, policies, functions, views and triggers with the reviewed list, the role
    /// that this process is logged in as with what its binary needs, and the database's stamp with this
    /// process's environment.
    ///
    /// # Errors
    /// [`Error::Internal`] naming each difference; [`Error::Unavailable`] without a database.
    pub async fn verify(&self, environment: Environment, binary: Binary) -> Result<()> {
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
        let mut differences = differences(EXPECTED, &found);
        let member = format!("login is a member of {}", binary.role());
        let login = tx.text(LOGIN).await?;
        if !login.contains(&member) {
            differences.push(format!("- {member}"));
        }
        differences.extend(
            login
                .iter()
                .filter(|line| **line != member)
                .map(|line| format!("+ {line}")),
        );
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::internal(format!(
            "the database's roles, grants or policies differ from migration/security.txt:\n{}",
            differences.join("\n")
        )))
    }

    /// Whether the database answers and has been migrated as far as this release needs; for readiness.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ping(&self) -> Result<()> {
        let tx = self
            .open(None, uuid::Uuid::nil(), "BEGIN READ ONLY".to_owned())
            .await?;
        let applied = tx.text("SELECT version FROM seaql_migrations").await?;
        if !applied.iter().any(|version| version == NEWEST) {
            return Err(Error::unavailable(format!(
                "the migration {NEWEST} has not been applied"
            )));
        }
        Ok(())
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
