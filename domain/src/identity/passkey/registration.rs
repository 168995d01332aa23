//! Adding a passkey: a signed-in person's authenticator makes one for our host and their user id.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use webauthn_rs::prelude::{
    CredentialID, Passkey as Credential, PasskeyRegistration, RegisterPublicKeyCredential,
};

use super::relying_party::{is_from_our_page, relying_party};
use super::{Challenge, MOST, Passkey, checked_name, refused, too_late};
use crate::db::{Db, Freshness, Tx};
use crate::error::{Code, Error, Result};
use crate::identity::audit::{self, Event};
use crate::identity::browser::BrowserSecret;
use crate::identity::ceremony::{self, Handle, Kind};
use crate::identity::session::UserRef;
use crate::identity::{account, second_factor};
use crate::limit::{Bucket, Limits, client_key};
use crate::viewer::{Via, Viewer};

/// What is kept while the authenticator works.
#[derive(Serialize, Deserialize)]
struct Asked {
    session: Uuid,
    state: PasskeyRegistration,
}

/// Asks the viewer's authenticator for a passkey that is not one of theirs already. To be answered within
/// five minutes, once, in the same browser and session.
///
/// # Errors
/// [`Error::StepUpRequired`] when the last authentication is too long ago, [`Error::Invalid`] with
/// [`Code::TooMany`] for who has [`MOST`], [`Error::RateLimited`].
pub async fn begin_registration(
    db: &Db,
    limits: &Limits,
    viewer: &Viewer,
    browser: &BrowserSecret,
) -> Result<Challenge> {
    let party = relying_party(db.public_url())?;
    take(limits, viewer, Bucket::PasskeyChallengesPerClient).await?;
    let tx = db.begin_account(viewer, Freshness::Recent).await?;
    let known = credential_ids(&tx).await?;
    if known.len() >= MOST {
        return Err(too_many());
    }
    let user = account::me(&tx).await?;
    drop(tx);
    let address = user.emails.first().map(|email| email.address.as_str());
    // What the device lists it by; neither is looked at when it signs in.
    let name = address.or(user.name.as_deref()).unwrap_or("Personal CRM");
    let shown = user.name.as_deref().unwrap_or(name);
    let (challenge, state) = party
        .start_passkey_registration(viewer.user(), name, shown, Some(known))
        .map_err(Error::internal)?;
    let asked = Asked {
        session: session_of(viewer)?,
        state,
    };
    let tx = db.begin_auth().await?;
    let kind = Kind::PasskeyRegistration;
    let handle = ceremony::begin(&tx, kind, browser, Some(user_of(viewer)), &asked).await?;
    tx.commit().await?;
    let mut options = serde_json::to_value(&challenge.public_key).map_err(Error::internal)?;
    // The library discourages what lets a passkey sign in without a name being asked first.
    for (option, value) in [
        ("residentKey", json!("required")),
        ("requireResidentKey", json!(true)),
    ] {
        let Some(selection) = options.pointer_mut("/authenticatorSelection") else {
            return Err(Error::internal("the challenge selects no authenticator"));
        };
        if let Some(selection) = selection.as_object_mut() {
            selection.insert(option.to_owned(), value);
        }
    }
    Ok(Challenge { handle, options })
}

/// Adds the passkey that an authenticator made (`RegistrationResponseJSON`). Without a name it is called after
/// the day.
///
/// # Errors
/// [`Error::Invalid`] with [`Code::LinkInvalid`] when the challenge is not (or no longer) to be answered by this
/// browser and session, with [`Code::PasskeyRefused`] for an answer that does not hold, with [`Code::Taken`]
/// when anybody has this passkey already; else as [`begin_registration`].
pub async fn register(
    db: &Db,
    limits: &Limits,
    viewer: &Viewer,
    browser: Option<&BrowserSecret>,
    handle: &Handle,
    answer: Value,
    name: &str,
) -> Result<Passkey> {
    take(limits, viewer, Bucket::PasskeyAttemptsPerClient).await?;
    let state = end(db, viewer, browser, handle).await?;
    let credential = verified(db, answer, &state)?;
    let tx = db.begin_account(viewer, Freshness::Recent).await?;
    let name = match name.trim() {
        "" => format!("Passkey of {}", tx.now().format("%-d %B %Y")),
        name => checked_name(name)?,
    };
    second_factor::hold(&tx).await?;
    if credential_ids(&tx).await?.len() >= MOST {
        return Err(too_many());
    }
    let passkey = insert(&tx, &credential, name).await?;
    audit::record_own(&tx, Event::new(audit::Kind::PasskeyAdded).about(&passkey.name)).await?;
    tx.commit().await?;
    Ok(passkey)
}

/// Ends the ceremony, whatever comes of the answer: a challenge is answered once.
async fn end(
    db: &Db,
    viewer: &Viewer,
    browser: Option<&BrowserSecret>,
    handle: &Handle,
) -> Result<PasskeyRegistration> {
    let browser = browser.ok_or_else(too_late)?;
    let tx = db.begin_auth().await?;
    let ceremony = ceremony::end::<Asked>(&tx, Kind::PasskeyRegistration, handle, browser).await?;
    tx.commit().await?;
    let session = session_of(viewer)?;
    ceremony
        .filter(|ceremony| ceremony.of == Some(user_of(viewer)) && ceremony.state.session == session)
        .map(|ceremony| ceremony.state.state)
        .ok_or_else(too_late)
}

fn verified(db: &Db, answer: Value, state: &PasskeyRegistration) -> Result<Credential> {
    let Ok(answer) = serde_json::from_value::<RegisterPublicKeyCredential>(answer) else {
        return Err(refused());
    };
    if !is_from_our_page(&answer.response.client_data_json, db.public_url()) {
        tracing::warn!("a new passkey was refused: it was made for another page");
        return Err(refused());
    }
    relying_party(db.public_url())?
        .finish_passkey_registration(&answer, state)
        .map_err(|error| {
            tracing::warn!(%error, "a new passkey was refused");
            refused()
        })
}

async fn insert(tx: &Tx, credential: &Credential, name: String) -> Result<Passkey> {
    let passkey = Passkey {
        id: tx.new_id(),
        name,
        created_at: tx.now(),
        last_used_at: None,
    };
    tx.run(
        "INSERT INTO passkey (owner_id, id, user_id, credential_id, credential, name, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        [
            tx.owner()?.into(),
            passkey.id.into(),
            tx.viewer()?.user().into(),
            credential.cred_id().to_vec().into(),
            serde_json::to_value(credential).map_err(Error::internal)?.into(),
            passkey.name.clone().into(),
            passkey.created_at.into(),
        ],
    )
    .await?;
    Ok(passkey)
}

async fn credential_ids(tx: &Tx) -> Result<Vec<CredentialID>> {
    let rows = tx
        .query(
            "SELECT credential_id FROM passkey WHERE user_id = $1 ORDER BY created_at, id",
            [tx.viewer()?.user().into()],
        )
        .await?;
    rows.iter()
        .map(|row| Ok(row.try_get("", "credential_id")?))
        .collect()
}

async fn take(limits: &Limits, viewer: &Viewer, bucket: Bucket) -> Result<()> {
    let client = viewer.client().map(|client| client_key(client.address));
    limits.take(bucket, &client.unwrap_or_default(), 1).await?;
    Ok(())
}

fn user_of(viewer: &Viewer) -> UserRef {
    UserRef {
        owner: viewer.owner(),
        user: viewer.user(),
    }
}

fn session_of(viewer: &Viewer) -> Result<Uuid> {
    let Via::Session(session) = viewer.via() else {
        return Err(Error::Forbidden);
    };
    Ok(session)
}

fn too_many() -> Error {
    Error::invalid(
        "",
        Code::TooMany,
        "An account has at most 20 passkeys. Remove one that you no longer use.",
    )
}
