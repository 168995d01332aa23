//! The ways into an account, counted together: proven addresses, identities at providers and passkeys. Each is
//! its user's to remove, but never the last.

use crate::db::Tx;
use crate::error::{Code, Error, Result};

/// Refuses what has just been done in a transaction of the viewer's account if it leaves no way in. Their row is
/// held from here on, so that of two who remove the last two, one finds nothing left.
///
/// # Errors
/// [`Code::LastSignInMethod`].
pub(crate) async fn keep_one(tx: &Tx) -> Result<()> {
    let user = tx.viewer()?.user();
    tx.run(
        "SELECT 1 FROM app_user WHERE id = $1 FOR NO KEY UPDATE",
        [user.into()],
    )
    .await?;
    let row = tx
        .query_one_row(
            "SELECT 1 AS one WHERE \
                 EXISTS (SELECT FROM user_email WHERE user_id = $1 AND verified_at IS NOT NULL) \
                 OR EXISTS (SELECT FROM external_identity WHERE user_id = $1) \
                 OR EXISTS (SELECT FROM passkey WHERE user_id = $1)",
            [user.into()],
        )
        .await?;
    match row {
        Some(_) => Ok(()),
        None => Err(Error::invalid(
            "id",
            Code::LastSignInMethod,
            "This is the only way into your account. Add another first.",
        )),
    }
}
