//! The user's own settings.

use crate::db::Tx;
use crate::error::Result;

/// The country that the viewer's phone numbers without one are read in (ISO 3166).
///
/// # Errors
/// When the database refuses or is gone.
pub async fn phone_region(tx: &Tx) -> Result<Option<String>> {
    let row = tx
        .query_one_row(
            "SELECT phone_region FROM app_user WHERE id = $1",
            [tx.viewer()?.user().into()],
        )
        .await?;
    Ok(row
        .map(|row| row.try_get("", "phone_region"))
        .transpose()?
        .flatten())
}
