//! The schema: roles, tables, policies and triggers, applied in order, after the queue's own.
//!
//! Statements stand as SQL, since row-level security, triggers and definer functions have no other
//! form. A migration is small and only ever goes forward: what is released is not edited.

use anyhow::{Context, bail};
use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};

/// The query behind `security.txt`: one line for each thing that decides who sees what.
const SECURITY_QUERY: &str = include_str!("sql/security.sql");

macro_rules! migrations {
    ($($module:ident $name:literal),* $(,)?) => {
        $(mod $module {
            use super::*;
            pub(crate) struct Step;
            impl MigrationName for Step {
                fn name(&self) -> &str { $name }
            }
            #[async_trait::async_trait]
            impl MigrationTrait for Step {
                async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
                    let sql = include_str!(concat!("sql/", $name, ".sql"));
                    manager.get_connection().execute_unprepared(sql).await.map(drop)
                }
            }
        })*

        /// The text of everything that makes the schema; a test's template is named by its hash.
        pub const SOURCES: &[&str] = &[
            include_str!("sql/roles.sql"),
            include_str!("sql/extensions.sql"),
            $(include_str!(concat!("sql/", $name, ".sql"))),*
        ];

        /// Every migration of ours, in order.
        pub struct Migrator;
        impl MigratorTrait for Migrator {
            fn migrations() -> Vec<Box<dyn MigrationTrait>> {
                vec![$(Box::new($module::Step)),*]
            }
        }
    };
}

migrations! {
    ground "0001_ground",
    account "0002_account",
    contact "0003_contact",
    import "0004_import",
    jobs "0005_jobs",
    identity "0006_identity",
    account_deletion "0007_account_deletion",
}

/// The names of all migrations, in order.
#[must_use]
pub fn names() -> Vec<String> {
    Migrator::migrations()
        .iter()
        .map(|step| step.name().to_owned())
        .collect()
}

/// Brings the database at `url` to the newest schema and stamps it with `environment`.
///
/// `url` must be a role that may create roles, and owns the database or is a superuser. Everything is
/// made as `crm_owner`, so that no object belongs to a superuser.
///
/// # Errors
/// When the database can't be reached, a statement fails, or the stamp is another environment's.
pub async fn up(url: &str, environment: &str) -> anyhow::Result<()> {
    let options: PgConnectOptions = url.parse().context("MIGRATION_DATABASE_URL")?;
    let mut admin = options.connect().await.context("connecting to the database")?;
    // Two migrations at once wait for each other; the lock ends with the connection.
    run(&mut admin, "SELECT pg_advisory_lock(7241)").await?;
    run(&mut admin, include_str!("sql/roles.sql"))
        .await
        .context("creating the roles")?;
    let database: String = sqlx::query_scalar("SELECT format('%I', current_database())")
        .fetch_one(&mut admin)
        .await?;
    run(
        &mut admin,
        &format!("GRANT CREATE ON DATABASE {database} TO crm_owner"),
    )
    .await?;
    run(&mut admin, include_str!("sql/extensions.sql"))
        .await
        .context("creating the extensions")?;

    let pool = PgPoolOptions::new()
        .max_connections(2)
        .connect_with(options.options([("role", "crm_owner")]))
        .await?;
    run(&mut *pool.acquire().await?, "CREATE SCHEMA IF NOT EXISTS apalis").await?;
    apalis_postgres::PostgresStorage::setup(&pool)
        .await
        .context("the queue's own migrations")?;
    let db: DatabaseConnection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
    Migrator::up(&db, None).await.context("our migrations")?;
    stamp(&mut *pool.acquire().await?, environment).await?;
    pool.close().await;
    admin.close().await?;
    Ok(())
}

/// Writes the environment's name into a new database; refuses another's.
async fn stamp(connection: &mut PgConnection, environment: &str) -> anyhow::Result<()> {
    sqlx::query("INSERT INTO environment (name) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(environment)
        .execute(&mut *connection)
        .await
        .context("APP_ENV must be development, staging or production")?;
    let stamped: String = sqlx::query_scalar("SELECT name FROM environment")
        .fetch_one(connection)
        .await?;
    if stamped != environment {
        bail!("this database belongs to {stamped}, and APP_ENV is {environment}");
    }
    Ok(())
}

/// Creates the login role `name` for `binary` ("api" or "worker"), or gives it a new password.
///
/// The server is sent a SCRAM verifier: the password itself never stands in a statement.
///
/// # Errors
/// When the binary is unknown or the database refuses.
pub async fn login(url: &str, binary: &str, name: &str, password: &str) -> anyhow::Result<()> {
    let group = match binary {
        "api" => "crm_api",
        "worker" => "crm_worker",
        other => bail!("a login is for api or worker, not for {other}"),
    };
    let options: PgConnectOptions = url.parse().context("MIGRATION_DATABASE_URL")?;
    let mut admin = options.connect().await?;
    let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
    let mighty: Option<bool> = sqlx::query_scalar(
        "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication FROM pg_roles WHERE rolname = $1",
    )
    .bind(name)
    .fetch_optional(&mut admin)
    .await?;
    // Only a superuser may say of a role that is there that it is none, so the second form does not.
    let form = match mighty {
        None => {
            "CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOREPLICATION INHERIT PASSWORD %L"
        }
        Some(false) => "ALTER ROLE %I LOGIN INHERIT PASSWORD %L",
        Some(true) => bail!("the role {name} may more than a login of ours must"),
    };
    let statement: String = sqlx::query_scalar("SELECT format($1::text, $2::text, $3::text)")
        .bind(form)
        .bind(name)
        .bind(verifier)
        .fetch_one(&mut admin)
        .await?;
    run(&mut admin, &statement).await?;
    let grant: String = sqlx::query_scalar("SELECT format('GRANT %I TO %I', $1::text, $2::text)")
        .bind(group)
        .bind(name)
        .fetch_one(&mut admin)
        .await?;
    run(&mut admin, &grant).await?;
    let connect: String = sqlx::query_scalar(
        "SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), $1::text)",
    )
    .bind(name)
    .fetch_one(&mut admin)
    .await?;
    run(&mut admin, &connect).await?;
    admin.close().await?;
    Ok(())
}

/// The lines of `security.txt` as the database at `url` has them.
///
/// # Errors
/// When the database can't be reached.
pub async fn security_lines(url: &str) -> anyhow::Result<Vec<String>> {
    let options: PgConnectOptions = url.parse()?;
    let mut connection = options.connect().await?;
    let rows = sqlx::query(SECURITY_QUERY).fetch_all(&mut connection).await?;
    rows.iter().map(|row| Ok(row.try_get("line")?)).collect()
}

async fn run(connection: &mut PgConnection, sql: &str) -> anyhow::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await?;
    Ok(())
}
