//! Companies.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result};
use chrono::{DateTime, Utc};
use domain::company as companies;
use domain::identity::scope::Scope;
use domain::page::PageRequest;

use super::connection::connection;
use super::error::{reader, top_level};
use super::node::Kind;
use super::reader::Reader;
use super::scope::Needs;

/// A company that contacts have or had a place at.
#[derive(Clone)]
pub(crate) struct Company(pub(crate) companies::Company);

/// A company that contacts have or had a place at.
#[Object(guard = "Needs(Scope::CompaniesRead)")]
impl Company {
    /// The global id.
    /// Scope: `companies:read`.
    pub(crate) async fn id(&self) -> ID {
        Kind::Company.id(self.0.id)
    }
    /// Its name.
    /// Scope: `companies:read`.
    async fn name(&self) -> &str {
        &self.0.name
    }
    /// When the company was added.
    /// Scope: `companies:read`.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
    /// When the company was last changed.
    /// Scope: `companies:read`.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.updated_at
    }
}

/// Counts companies when asked to.
pub(crate) struct CompanyCount(Arc<Reader>);

impl CompanyCount {
    async fn count(&self) -> domain::Result<u64> {
        companies::count(self.0.tx().await?).await
    }
}

connection! {
    Needs(Scope::CompaniesRead), "Scope: `companies:read`.",
    /// A page of companies.
    CompanyConnection, CompanyEdge, Company, CompanyCount
}

#[derive(Default)]
pub(crate) struct CompanyQuery;

#[Object(guard = "Needs(Scope::CompaniesRead)")]
impl CompanyQuery {
    /// A company by its id; null if there is no such company.
    /// Scope: `companies:read`.
    async fn company(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The company's id.")] id: ID,
    ) -> Result<Option<Company>> {
        let reader = reader(ctx)?;
        let tx = reader.tx().await.map_err(top_level)?;
        Ok(companies::get(tx, Kind::Company.uuid(&id))
            .await
            .map_err(top_level)?
            .map(Company))
    }

    /// The user's companies, by name.
    /// Scope: `companies:read`.
    async fn companies(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first so many, 0 to 100. If neither this nor `last` is given: the first 50.")]
        first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
        #[graphql(desc = "The last so many, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only those before this cursor.")] before: Option<String>,
    ) -> Result<CompanyConnection> {
        let request = PageRequest::new(first, last, after, before).map_err(top_level)?;
        let reader = reader(ctx)?;
        let tx = reader.tx().await.map_err(top_level)?;
        let page = companies::list(tx, &request).await.map_err(top_level)?;
        let entries = page
            .items
            .into_iter()
            .map(|row| (companies::cursor(&row), Company(row)))
            .collect();
        Ok(CompanyConnection::new(
            entries,
            page.has_previous,
            page.has_next,
            CompanyCount(reader),
        ))
    }
}
