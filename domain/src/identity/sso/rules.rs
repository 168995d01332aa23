//! Whose account an identity opens. It is known by its issuer and subject, never by an address: addresses change
//! hands. An address counts once, where an identity is seen for the first time, and only if the provider says that
//! it is proved and the account has proved it too.

use super::{Identity, Refusal};
use crate::db::{Db, Freshness, Tx};
use crate::error::Result;
use crate::identity::account;
use crate::identity::audit::{self, Event};
use crate::identity::browser::BrowserSecret;
use crate::identity::methods::MOST;
use crate::identity::session::{Authentication, ClientInfo, Method, UserRef};
use crate::identity::sign_in::{self, Outcome};
use crate::limit::Limits;
use crate::viewer::Viewer;

/// Signs in whoever the identity is.
pub(super) async fn sign_in(
    db: &Db,
    limits: &Limits,
    provider: &str,
    identity: &Identity,
    client: &ClientInfo,
    browser: &BrowserSecret,
    return_to: &str,
) -> Result<Result<Outcome, Refusal>> {
    let tx = db.begin_auth().await?;
    lock(&tx, identity).await?;
    let of = match known(&tx, identity).await? {
        Some(of) => of,
        None => match adopt(&tx, provider, identity, client).await? {
            Some(of) => of,
            None => {
                tracing::info!(
                    provider,
                    "single sign-on refused: an unknown identity without a proved address"
                );
                refuse(&tx, limits, provider, identity, client).await?;
                tx.commit().await?;
                return Ok(Err(Refusal::Unproven));
            }
        },
    };
    let how = Authentication {
        method: Method::Sso,
        provider: Some(provider.to_owned()),
        second_factor: None,
    };
    let outcome = sign_in::complete(&tx, of, how, client, browser, return_to).await?;
    tx.commit().await?;
    Ok(Ok(outcome))
}

/// Tells the account with the identity's address, if there is one, that somebody came with it.
async fn refuse(
    tx: &Tx,
    limits: &Limits,
    provider: &str,
    identity: &Identity,
    client: &ClientInfo,
) -> Result<()> {
    let Some(email) = &identity.email else {
        return Ok(());
    };
    if let Some(of) = account::find(tx, email).await? {
        let event = Event::new(audit::Kind::SignInRefused)
            .by(provider)
            .about("an identity that is not linked to this account");
        audit::record_refused(tx, limits, of, client, event).await?;
    }
    Ok(())
}

/// Of two callbacks of one identity at once, the second finds what the first made.
async fn lock(tx: &Tx, identity: &Identity) -> Result<()> {
    let name = format!("{} {}", identity.issuer, identity.subject);
    tx.run(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 3))",
        [name.into()],
    )
    .await?;
    Ok(())
}

/// Whose it is; it is noted that it was used, and what the provider calls its address now.
async fn known(tx: &Tx, identity: &Identity) -> Result<Option<UserRef>> {
    let row = tx
        .query_one_row(
            "UPDATE external_identity SET last_used_at = $3, email = $4 WHERE issuer = $1 AND subject = $2 \
             RETURNING owner_id, user_id",
            [
                identity.issuer.as_str().into(),
                identity.subject.as_str().into(),
                tx.now().into(),
                address(identity).into(),
            ],
        )
        .await?;
    row.map(|row| {
        Ok(UserRef {
            owner: row.try_get("", "owner_id")?,
            user: row.try_get("", "user_id")?,
        })
    })
    .transpose()
}

/// The account that an identity seen for the first time belongs to from now on: the one that has proved the address
/// which the provider says is proved, or a new one if that address is nobody's.
async fn adopt(tx: &Tx, provider: &str, identity: &Identity, client: &ClientInfo) -> Result<Option<UserRef>> {
    let Some(proved) = identity.proved() else {
        return Ok(None);
    };
    let (of, is_new) = match account::find_or_create_proved(tx, proved, client).await? {
        account::Found::Account(of) => (of, false),
        account::Found::Created(of) => (of, true),
        account::Found::Unproved => return Ok(None),
    };
    if !is_new && !may_gain(tx, of).await? {
        return Ok(None);
    }
    insert(tx, of, provider, identity).await?;
    // Of a new account it is no news that there is a way into it.
    if !is_new {
        let event = Event::new(audit::Kind::IdentityLinked)
            .by(provider)
            .about(proved.as_str());
        audit::record(tx, of, Some(client), event).await?;
    }
    Ok(Some(of))
}

/// Whether an account may get one more way to sign in by this sign-in alone. One that wants a second factor gets it
/// only from who has presented that: in its settings.
async fn may_gain(tx: &Tx, of: UserRef) -> Result<bool> {
    let row = tx
        .query_one_row(
            "SELECT NOT passkey_required AND (SELECT count(*) FROM external_identity i \
                 WHERE i.owner_id = u.owner_id AND i.user_id = u.id) < $3 AS may \
             FROM app_user u WHERE owner_id = $1 AND id = $2",
            [of.owner.into(), of.user.into(), MOST.into()],
        )
        .await?;
    Ok(row
        .map(|row| row.try_get("", "may"))
        .transpose()?
        .unwrap_or(false))
}

/// Adds the identity to the account of who is signed in.
pub(super) async fn link(
    db: &Db,
    viewer: &Viewer,
    provider: &str,
    identity: &Identity,
) -> Result<Result<(), Refusal>> {
    let tx = db.begin_account(viewer, Freshness::Any).await?;
    lock(&tx, identity).await?;
    // Own rows alone are seen.
    let own = tx
        .query(
            "SELECT issuer = $1 AND subject = $2 AS same FROM external_identity",
            [identity.issuer.as_str().into(), identity.subject.as_str().into()],
        )
        .await?;
    for row in &own {
        if row.try_get("", "same")? {
            return Ok(Ok(()));
        }
    }
    if i64::try_from(own.len()).is_ok_and(|own| own >= MOST) {
        return Ok(Err(Refusal::TooMany));
    }
    let of = UserRef {
        owner: viewer.owner(),
        user: viewer.user(),
    };
    if insert(&tx, of, provider, identity).await? == 0 {
        return Ok(Err(Refusal::Taken));
    }
    let mut event = Event::new(audit::Kind::IdentityLinked).by(provider);
    if let Some(email) = &identity.email {
        event = event.about(email.as_str());
    }
    audit::record_own(&tx, event).await?;
    tx.commit().await?;
    Ok(Ok(()))
}

/// How many rows were added: none when it is somebody's already.
async fn insert(tx: &Tx, of: UserRef, provider: &str, identity: &Identity) -> Result<u64> {
    tx.run(
        "INSERT INTO external_identity (owner_id, id, user_id, provider, issuer, subject, email, created_at, last_used_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (issuer, subject) DO NOTHING",
        [
            of.owner.into(),
            tx.new_id().into(),
            of.user.into(),
            provider.into(),
            identity.issuer.as_str().into(),
            identity.subject.as_str().into(),
            address(identity).into(),
            tx.now().into(),
        ],
    )
    .await
}

fn address(identity: &Identity) -> Option<String> {
    identity.email.as_ref().map(|email| email.as_str().to_owned())
}
