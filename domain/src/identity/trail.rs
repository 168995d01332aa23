//! The audit trail as its user reads it; see [`super::audit`] for how it is written.

use entity::{Owned, audit_event};
use sea_orm::{ColumnTrait, PaginatorTrait, QueryFilter, Select};
use uuid::Uuid;

use crate::db::Tx;
use crate::error::Result;
use crate::page::{Cursor, Page, PageRequest, Sorting, sort_key, time_key};

pub use entity::audit_event::Model as AuditEvent;

const NEWEST_FIRST: Sorting = Sorting {
    key: sort_key!(40, "audit_event", "at", time),
    descending: true,
};

/// The cursor that stands at an event in the trail.
#[must_use]
pub fn cursor(event: &AuditEvent) -> Cursor {
    NEWEST_FIRST.cursor(time_key(Some(event.at)), event.id)
}

/// What was done with the viewer's account, newest first.
///
/// # Errors
/// [`crate::Error::Invalid`] for a cursor of another list.
pub async fn list(tx: &Tx, request: &PageRequest) -> Result<Page<AuditEvent>> {
    let rows = NEWEST_FIRST.page(own(tx)?, request)?.all(tx).await?;
    Ok(Sorting::finish(request, rows))
}

/// How many events the trail has.
///
/// # Errors
/// When the database refuses or is gone; so everywhere here.
pub async fn count(tx: &Tx) -> Result<u64> {
    Ok(own(tx)?.count(tx).await?)
}

/// Those of the ids that are in the viewer's trail, in no order.
///
/// # Errors
/// As [`count`].
pub async fn get_many(tx: &Tx, ids: &[Uuid]) -> Result<Vec<AuditEvent>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let select = own(tx)?.filter(audit_event::Column::Id.eq_any(ids.to_vec()));
    Ok(select.all(tx).await?)
}

fn own(tx: &Tx) -> Result<Select<audit_event::Entity>> {
    let viewer = tx.viewer()?;
    Ok(audit_event::Entity::visible_to(viewer.owner()).filter(audit_event::Column::UserId.eq(viewer.user())))
}
