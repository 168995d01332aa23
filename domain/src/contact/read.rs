//! Reading contacts: one, several, or a page.

use entity::{Owned, contact};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, PaginatorTrait, QueryFilter, Select};
use uuid::Uuid;

use super::Contact;
use crate::db::Tx;
use crate::error::{Code, Error, Result};
use crate::page::{Cursor, Page, PageRequest, Sorting, sort_key, time_key};

/// Which contacts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those that carry this tag.
    pub tag: Option<Uuid>,
    /// Those that have or had a place at this company.
    pub company: Option<Uuid>,
    /// Those in whose names, e-mail addresses, companies and titles every word of this text stands,
    /// whatever its case and accents.
    pub text: Option<String>,
}

/// What contacts are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderBy {
    /// Family name first, without case and accents.
    #[default]
    Name,
    /// When they were added.
    Created,
    /// When they were last changed.
    Updated,
    /// When one last had to do with them; those with nothing yet come first.
    LastInteraction,
}

/// An order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// By what.
    pub by: OrderBy,
    /// Whether the greatest come first.
    pub descending: bool,
}

impl Order {
    fn sorting(self) -> Sorting {
        let key = match self.by {
            OrderBy::Name => sort_key!(1, "contact", "sort_name", text),
            OrderBy::Created => sort_key!(2, "contact", "created_at", time),
            OrderBy::Updated => sort_key!(3, "contact", "updated_at", time),
            OrderBy::LastInteraction => sort_key!(4, "contact", "last_interaction_key", time),
        };
        Sorting {
            key,
            descending: self.descending,
        }
    }

    /// The cursor that stands at a contact in this order.
    #[must_use]
    pub fn cursor(self, contact: &Contact) -> Cursor {
        let key = match self.by {
            OrderBy::Name => contact.sort_name.clone(),
            OrderBy::Created => time_key(Some(contact.created_at)),
            OrderBy::Updated => time_key(Some(contact.updated_at)),
            OrderBy::LastInteraction => time_key(contact.last_interaction_at),
        };
        self.sorting().cursor(key, contact.id)
    }
}

/// The longest text that is searched for, in characters.
const TEXT: usize = 200;

impl Filter {
    fn apply(&self, mut select: Select<contact::Entity>) -> Result<Select<contact::Entity>> {
        if let Some(tag) = self.tag {
            select = select.filter(Expr::cust_with_values(
                "contact.id IN (SELECT contact_id FROM contact_tag WHERE tag_id = $1)",
                [tag],
            ));
        }
        if let Some(company) = self.company {
            select = select.filter(Expr::cust_with_values(
                "contact.id IN (SELECT contact_id FROM affiliation WHERE company_id = $1)",
                [company],
            ));
        }
        if let Some(text) = self
            .text
            .as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            if text.chars().count() > TEXT {
                return Err(Error::invalid(
                    "filter.text",
                    Code::TooLong,
                    "A search has at most 200 characters.",
                ));
            }
            let text = text.replace('\0', "");
            select = select.filter(Expr::cust_with_values(
                "contact.id IN (SELECT contact_search_ids($1))",
                [text],
            ));
        }
        Ok(select)
    }
}

/// One contact; none if the viewer has none of this id.
///
/// # Errors
/// When the database refuses or is gone; so everywhere here.
pub async fn get(tx: &Tx, id: Uuid) -> Result<Option<Contact>> {
    Ok(contact::Entity::visible_to(tx.owner()?)
        .filter(contact::Column::Id.eq(id))
        .one(tx)
        .await?)
}

/// Those of the ids that the viewer has, in no order.
///
/// # Errors
/// As [`get`].
pub async fn get_many(tx: &Tx, ids: &[Uuid]) -> Result<Vec<Contact>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let select = contact::Entity::visible_to(tx.owner()?);
    Ok(select
        .filter(contact::Column::Id.eq_any(ids.to_vec()))
        .all(tx)
        .await?)
}

/// A page of contacts.
///
/// # Errors
/// [`Error::Invalid`] for a cursor of another list or order, or too long a text.
pub async fn list(tx: &Tx, filter: &Filter, order: Order, request: &PageRequest) -> Result<Page<Contact>> {
    let select = filter.apply(contact::Entity::visible_to(tx.owner()?))?;
    let rows = order.sorting().page(select, request)?.all(tx).await?;
    Ok(Sorting::finish(request, rows))
}

/// How many contacts there are.
///
/// # Errors
/// As [`list`].
pub async fn count(tx: &Tx, filter: &Filter) -> Result<u64> {
    Ok(filter
        .apply(contact::Entity::visible_to(tx.owner()?))?
        .count(tx)
        .await?)
}
