//! Sign-in links, as the worker needs them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::Db;
use crate::error::Result;

/// What the mail with a sign-in link says.
pub struct SignInMail {
    /// Whom it goes to.
    pub address: String,
    /// The link, with its token.
    pub url: String,
    /// Until when the link is good.
    pub expires_at: DateTime<Utc>,
}

/// The mail of a link, unless it is spent or too old.
///
/// # Errors
/// When the database refuses.
pub async fn mail_for(db: &Db, link_id: Uuid) -> Result<Option<SignInMail>> {
    let tx = db.begin_auth().await?;
    let row = tx
        .query_one_row(
            "SELECT address, expires_at FROM sign_in_link WHERE id = $1 AND spent_at IS NULL AND expires_at > $2",
            [link_id.into(), tx.now().into()],
        )
        .await?;
    row.map(|row| {
        Ok(SignInMail {
            address: row.try_get("", "address")?,
            url: format!("http://localhost:8080/login/{link_id}"),
            expires_at: row.try_get("", "expires_at")?,
        })
    })
    .transpose()
}
