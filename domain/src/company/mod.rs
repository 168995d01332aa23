//! Companies.

use entity::{Owned, company};
use sea_orm::{ColumnTrait, PaginatorTrait, QueryFilter};
use uuid::Uuid;

use crate::db::Tx;
use crate::error::{Error, Result};
use crate::page::{Cursor, Page, PageRequest, Sorting, sort_key};

pub use entity::company::Model as Company;

/// One company; none if the viewer has none of this id.
///
/// # Errors
/// When the database refuses or is gone; so everywhere here.
pub async fn get(tx: &Tx, id: Uuid) -> Result<Option<Company>> {
    Ok(company::Entity::visible_to(tx.owner()?)
        .filter(company::Column::Id.eq(id))
        .one(tx)
        .await?)
}

/// Those of the ids that the viewer has, in no order.
///
/// # Errors
/// As [`get`].
pub async fn get_many(tx: &Tx, ids: &[Uuid]) -> Result<Vec<Company>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let select = company::Entity::visible_to(tx.owner()?);
    Ok(select
        .filter(company::Column::Id.eq_any(ids.to_vec()))
        .all(tx)
        .await?)
}

const BY_NAME: Sorting = Sorting {
    key: sort_key!(10, "company", "sort_name", text),
    descending: false,
};

/// The cursor that stands at a company in the list.
#[must_use]
pub fn cursor(company: &Company) -> Cursor {
    BY_NAME.cursor(company.sort_name.clone(), company.id)
}

/// A page of companies, by name.
///
/// # Errors
/// [`Error::Invalid`] for a cursor of another list.
pub async fn list(tx: &Tx, request: &PageRequest) -> Result<Page<Company>> {
    let rows = BY_NAME
        .page(company::Entity::visible_to(tx.owner()?), request)?
        .all(tx)
        .await?;
    Ok(Sorting::finish(request, rows))
}

/// How many companies there are.
///
/// # Errors
/// As [`get`].
pub async fn count(tx: &Tx) -> Result<u64> {
    Ok(company::Entity::visible_to(tx.owner()?).count(tx).await?)
}

/// The companies of these names, in the same order: the oldest of a name (whatever its case and
/// accents), or a new one.
///
/// # Errors
/// As [`get`].
pub async fn find_or_create(tx: &Tx, names: &[&str]) -> Result<Vec<Company>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let ids: Vec<Uuid> = names.iter().map(|_| tx.new_id()).collect();
    tx.run(
        "INSERT INTO company (owner_id, id, name, created_at, updated_at) \
         SELECT DISTINCT ON (fold(w.name)) $1, w.id, w.name, $4, $4 \
         FROM unnest($2::uuid[], $3::text[]) WITH ORDINALITY w (id, name, place) \
         WHERE NOT EXISTS (SELECT 1 FROM company c WHERE c.sort_name = left(fold(w.name), 500) AND fold(c.name) = fold(w.name)) \
         ORDER BY fold(w.name), w.place",
        [
            tx.owner()?.into(),
            ids.into(),
            names.clone().into(),
            tx.now().into(),
        ],
    )
    .await?;
    let rows = tx
        .query(
            "SELECT c.* FROM unnest($1::text[]) WITH ORDINALITY w (name, place) \
             CROSS JOIN LATERAL (SELECT owner_id, id, name, sort_name, version, created_at, updated_at FROM company \
               WHERE sort_name = left(fold(w.name), 500) AND fold(company.name) = fold(w.name) ORDER BY created_at, id LIMIT 1) c ORDER BY w.place",
            [names.clone().into()],
        )
        .await?;
    let companies: Vec<Company> = rows
        .iter()
        .map(|row| sea_orm::FromQueryResult::from_query_result(row, ""))
        .collect::<Result<_, _>>()?;
    if companies.len() == names.len() {
        Ok(companies)
    } else {
        Err(Error::internal("a company was not found again"))
    }
}
