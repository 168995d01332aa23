//! Asking for contacts.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result};
use domain::contact::{self as contacts, Filter, Order, OrderBy};
use domain::identity::scope::Scope;
use domain::page::PageRequest;

use super::types::{Contact, ContactConnection, ContactCount, ContactPage};
use crate::graphql::error::{reader, top_level};
use crate::graphql::node::Kind;
use crate::graphql::scope::{Needs, require};

/// Which contacts. What is not given does not narrow.
#[derive(InputObject, Default)]
pub(crate) struct ContactFilter {
    /// Those that carry this tag.
    /// Scope: `tags:read`.
    tag_id: Option<ID>,
    /// Those that have or had a place at this company.
    /// Scope: `companies:read`.
    company_id: Option<ID>,
    /// Those in whose names, e-mail addresses, companies and titles every word of this text stands, whatever its case and accents. At most 200 characters.
    text: Option<String>,
}

impl ContactFilter {
    /// Who may not see tags does not learn from a filter who carries one.
    fn check(&self, ctx: &Context<'_>) -> Result<()> {
        if self.tag_id.is_some() {
            require(ctx, Scope::TagsRead)?;
        }
        if self.company_id.is_some() {
            require(ctx, Scope::CompaniesRead)?;
        }
        Ok(())
    }
}

/// What contacts are ordered by.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContactOrderField {
    /// Family name first, without case and accents.
    Name,
    /// When they were added.
    CreatedAt,
    /// When they were last changed.
    UpdatedAt,
    /// When one last had to do with them; those with nothing yet come first.
    LastInteractionAt,
}

/// Which end comes first.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrderDirection {
    /// The least first.
    Asc,
    /// The greatest first.
    Desc,
}

/// An order of contacts.
#[derive(InputObject)]
pub(crate) struct ContactOrder {
    /// By what.
    field: ContactOrderField,
    /// Which end comes first.
    #[graphql(default_with = "OrderDirection::Asc")]
    direction: OrderDirection,
}

impl From<ContactOrder> for Order {
    fn from(order: ContactOrder) -> Self {
        let by = match order.field {
            ContactOrderField::Name => OrderBy::Name,
            ContactOrderField::CreatedAt => OrderBy::Created,
            ContactOrderField::UpdatedAt => OrderBy::Updated,
            ContactOrderField::LastInteractionAt => OrderBy::LastInteraction,
        };
        Self {
            by,
            descending: order.direction == OrderDirection::Desc,
        }
    }
}

#[derive(Default)]
pub(crate) struct ContactQuery;

#[Object(guard = "Needs(Scope::ContactsRead)")]
impl ContactQuery {
    /// A contact by its id; null if there is no such contact.
    /// Scope: `contacts:read`.
    async fn contact(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The contact's id.")] id: ID,
    ) -> Result<Option<Contact>> {
        let reader = reader(ctx)?;
        let tx = reader.tx().await.map_err(top_level)?;
        let contact = contacts::get(tx, Kind::Contact.uuid(&id))
            .await
            .map_err(top_level)?;
        Ok(contact.map(|contact| ContactPage::one(contact, reader.clone())))
    }

    /// The user's contacts, by name unless another order is asked for.
    /// Scope: `contacts:read`.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a Relay connection")]
    async fn contacts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which contacts; all, if not given.")] filter: Option<ContactFilter>,
        #[graphql(desc = "Their order.")] order_by: Option<ContactOrder>,
        #[graphql(desc = "The first so many, 0 to 100. If neither this nor `last` is given: the first 50.")]
        first: Option<i32>,
        #[graphql(desc = "Only those after this cursor.")] after: Option<String>,
        #[graphql(desc = "The last so many, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only those before this cursor.")] before: Option<String>,
    ) -> Result<ContactConnection> {
        let request = PageRequest::new(first, last, after, before).map_err(top_level)?;
        let filter = filter.unwrap_or_default();
        filter.check(ctx)?;
        let filter = Filter {
            tag: filter.tag_id.map(|id| Kind::Tag.uuid(&id)),
            company: filter.company_id.map(|id| Kind::Company.uuid(&id)),
            text: filter.text,
        };
        let order = order_by.map_or_else(Order::default, Into::into);
        let reader = reader(ctx)?;
        let tx = reader.tx().await.map_err(top_level)?;
        let page = contacts::list(tx, &filter, order, &request)
            .await
            .map_err(top_level)?;
        let cursors: Vec<_> = page.items.iter().map(|contact| order.cursor(contact)).collect();
        let nodes = ContactPage::all(&ContactPage::new(page.items, reader.clone()));
        let entries = cursors.into_iter().zip(nodes).collect();
        Ok(ContactConnection::new(
            entries,
            page.has_previous,
            page.has_next,
            ContactCount { reader, filter },
        ))
    }
}
