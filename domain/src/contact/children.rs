//! What hangs on contacts, for a whole page at once: one statement a kind, whatever the page's size.

use std::collections::HashMap;

use entity::{
    Owned, affiliation, company, contact_address, contact_date, contact_email, contact_link, contact_phone,
    tag,
};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::{Address, Affiliation, Date, Email, Link, Phone};
use crate::company::Company;
use crate::db::Tx;
use crate::error::Result;
use crate::tag::Tag;

/// A place at a company, with the company.
#[derive(Clone, Debug)]
pub struct AffiliationWithCompany {
    /// The place.
    pub affiliation: Affiliation,
    /// The company; none where only a title or a department is known.
    pub company: Option<Company>,
}

macro_rules! children {
    ($($(#[$about:meta])* $name:ident $module:ident $model:ident;)*) => {
        $(
            $(#[$about])*
            ///
            /// # Errors
            /// When the database refuses or is gone.
            pub async fn $name(tx: &Tx, contacts: &[Uuid]) -> Result<HashMap<Uuid, Vec<$model>>> {
                let select = $module::Entity::visible_to(tx.owner()?)
                    .filter($module::Column::ContactId.eq_any(contacts.to_vec()))
                    .order_by_asc($module::Column::ContactId)
                    .order_by_asc($module::Column::Position)
                    .order_by_asc($module::Column::Id);
                Ok(grouped(select.all(tx).await?, |row| row.contact_id))
            }
        )*
    };
}

children! {
    /// The e-mail addresses of these contacts, in their order.
    emails contact_email Email;
    /// The phone numbers of these contacts, in their order.
    phones contact_phone Phone;
    /// The postal addresses of these contacts, in their order.
    addresses contact_address Address;
    /// The links of these contacts, in their order.
    links contact_link Link;
    /// The dates of these contacts, in their order.
    dates contact_date Date;
}

fn grouped<T>(rows: Vec<T>, contact: impl Fn(&T) -> Uuid) -> HashMap<Uuid, Vec<T>> {
    let mut groups: HashMap<Uuid, Vec<T>> = HashMap::new();
    for row in rows {
        groups.entry(contact(&row)).or_default().push(row);
    }
    groups
}

/// The places of these contacts, in their order, each with its company.
///
/// # Errors
/// When the database refuses or is gone.
pub async fn affiliations(tx: &Tx, contacts: &[Uuid]) -> Result<HashMap<Uuid, Vec<AffiliationWithCompany>>> {
    let places = affiliation::Entity::visible_to(tx.owner()?)
        .filter(affiliation::Column::ContactId.eq_any(contacts.to_vec()))
        .order_by_asc(affiliation::Column::ContactId)
        .order_by_asc(affiliation::Column::Position)
        .order_by_asc(affiliation::Column::Id)
        .all(tx)
        .await?;
    let ids: Vec<Uuid> = places.iter().filter_map(|place| place.company_id).collect();
    let companies = company::Entity::visible_to(tx.owner()?).filter(company::Column::Id.eq_any(ids));
    let companies: HashMap<Uuid, Company> = companies.all(tx).await?.into_iter().map(|c| (c.id, c)).collect();
    let places = places.into_iter().map(|affiliation| AffiliationWithCompany {
        company: affiliation.company_id.and_then(|id| companies.get(&id).cloned()),
        affiliation,
    });
    Ok(grouped(places.collect(), |place| place.affiliation.contact_id))
}

/// The tags of these contacts, by name.
///
/// # Errors
/// When the database refuses or is gone.
pub async fn tags(tx: &Tx, contacts: &[Uuid]) -> Result<HashMap<Uuid, Vec<Tag>>> {
    let rows = tx
        .query(
            "SELECT ct.contact_id, t.owner_id, t.id, t.name, t.sort_name, t.created_at \
             FROM contact_tag ct JOIN tag t ON t.owner_id = ct.owner_id AND t.id = ct.tag_id \
             WHERE ct.contact_id = ANY ($1) ORDER BY ct.contact_id, t.sort_name",
            [contacts.to_vec().into()],
        )
        .await?;
    let mut groups: HashMap<Uuid, Vec<Tag>> = HashMap::new();
    for row in rows {
        let tag: tag::Model = sea_orm::FromQueryResult::from_query_result(&row, "")?;
        groups
            .entry(row.try_get("", "contact_id")?)
            .or_default()
            .push(tag);
    }
    Ok(groups)
}
