//! Presenting a passkey: its authenticator signs our challenge and says whose it is, so that nobody has to
//! name an account first.

use std::net::IpAddr;

use sea_orm::QueryResult;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;
use webauthn_rs::prelude::{
    DiscoverableAuthentication, Passkey as Credential, PublicKeyCredential, WebauthnError,
};

use super::relying_party::{is_from_our_page, relying_party};
use super::{Challenge, refused, too_late};
use crate::db::{Db, Tx};
use crate::error::{Code, Error, Result};
use crate::identity::audit::{self, Event};
use crate::identity::browser::BrowserSecret;
use crate::identity::ceremony::{self, Handle, Kind};
use crate::identity::session::{Authentication, ClientInfo, Method, UserRef};
use crate::identity::sign_in::{self, Outcome};
use crate::limit::{Bucket, Limits, client_key};

/// What is kept while the authenticator works.
#[derive(Serialize, Deserialize)]
struct Asked {
    state: DiscoverableAuthentication,
    return_to: String,
}

/// What came of presenting a passkey. Either way the challenge is spent, so the transaction is to be
/// committed.
pub(in crate::identity) enum Presented {
    /// It is that user's.
    By(Holder),
    /// It was not accepted.
    Refused(Error),
}

/// Who presented a passkey.
pub(in crate::identity) struct Holder {
    pub(in crate::identity) of: UserRef,
    return_to: String,
}

/// Asks for a passkey, whosever it may be. To be answered within five minutes, once, in the same browser.
///
/// `return_to` is a URL that [`crate::identity::return_to::allowed`] allowed, or empty.
///
/// # Errors
/// [`Error::RateLimited`] for a client that asks too much, [`Error::Unavailable`] without a database.
pub async fn begin_sign_in(
    db: &Db,
    limits: &Limits,
    browser: &BrowserSecret,
    return_to: &str,
    client: IpAddr,
) -> Result<Challenge> {
    let party = relying_party(db.public_url())?;
    let key = client_key(client);
    limits.take(Bucket::PasskeyChallengesPerClient, &key, 1).await?;
    let (challenge, state) = party
        .start_discoverable_authentication()
        .map_err(Error::internal)?;
    let asked = Asked {
        state,
        return_to: return_to.to_owned(),
    };
    let tx = db.begin_auth().await?;
    let handle = ceremony::begin(&tx, Kind::PasskeySignIn, browser, None, &asked).await?;
    tx.commit().await?;
    let options = serde_json::to_value(&challenge.public_key).map_err(Error::internal)?;
    Ok(Challenge { handle, options })
}

/// Signs in with an authenticator's answer (`AuthenticationResponseJSON`).
///
/// # Errors
/// [`Error::Invalid`] with [`Code::LinkInvalid`] when the challenge is not (or no longer) to be answered by this
/// browser, and with [`Code::PasskeyRefused`] for an answer that does not hold; [`Error::RateLimited`].
pub async fn sign_in(
    db: &Db,
    limits: &Limits,
    handle: &Handle,
    answer: Value,
    browser: Option<&BrowserSecret>,
    client: &ClientInfo,
) -> Result<Outcome> {
    let key = client_key(client.address);
    limits.take(Bucket::PasskeyAttemptsPerClient, &key, 1).await?;
    let browser = browser.ok_or_else(too_late)?;
    let tx = db.begin_auth().await?;
    let holder = match present(db, limits, &tx, handle, answer, browser, client).await? {
        Presented::By(holder) => holder,
        Presented::Refused(error) => {
            tx.commit().await?;
            return Err(error);
        }
    };
    let how = Authentication::by(Method::Passkey);
    let outcome = sign_in::complete(&tx, holder.of, how, client, browser, &holder.return_to).await?;
    tx.commit().await?;
    Ok(outcome)
}

/// Ends the ceremony, and looks at what the authenticator answered. What it tells of itself (its counter,
/// whether it is backed up) is written back; its row is held until the transaction ends.
pub(in crate::identity) async fn present(
    db: &Db,
    limits: &Limits,
    tx: &Tx,
    handle: &Handle,
    answer: Value,
    browser: &BrowserSecret,
    client: &ClientInfo,
) -> Result<Presented> {
    let Some(asked) = ceremony::end::<Asked>(tx, Kind::PasskeySignIn, handle, browser).await? else {
        return Ok(Presented::Refused(too_late()));
    };
    let Ok(answer) = serde_json::from_value::<PublicKeyCredential>(answer) else {
        return Ok(Presented::Refused(refused()));
    };
    let Some(mut known) = find(tx, answer.get_credential_id()).await? else {
        tracing::warn!("a passkey was refused: it is nobody's");
        return Ok(Presented::Refused(refused()));
    };
    let Asked { state, return_to } = asked.state;
    if let Err(refusal) = known.verify(db, &answer, state)? {
        return Ok(Presented::Refused(
            known.report(limits, tx, client, &refusal).await?,
        ));
    }
    known.write_back(tx).await?;
    Ok(Presented::By(Holder {
        of: known.of,
        return_to,
    }))
}

/// Why an authenticator's answer does not hold.
enum Refusal {
    /// From a page that is not ours, or from within another site's.
    OtherPage,
    /// It says that it is another user's.
    OtherUser,
    /// Its counter went back.
    Cloned,
    /// What the library found.
    Invalid(WebauthnError),
}

/// A passkey that is held.
struct Known {
    of: UserRef,
    id: Uuid,
    name: String,
    credential: Credential,
}

async fn find(tx: &Tx, credential_id: &[u8]) -> Result<Option<Known>> {
    let row = tx
        .query_one_row(
            "SELECT owner_id, id, user_id, name, credential FROM passkey WHERE credential_id = $1 FOR UPDATE",
            [credential_id.to_vec().into()],
        )
        .await?;
    row.map(|row| Known::read(&row)).transpose()
}

impl Known {
    fn read(row: &QueryResult) -> Result<Self> {
        Ok(Self {
            of: UserRef {
                owner: row.try_get("", "owner_id")?,
                user: row.try_get("", "user_id")?,
            },
            id: row.try_get("", "id")?,
            name: row.try_get("", "name")?,
            credential: serde_json::from_value(row.try_get("", "credential")?).map_err(Error::internal)?,
        })
    }

    fn verify(
        &mut self,
        db: &Db,
        answer: &PublicKeyCredential,
        state: DiscoverableAuthentication,
    ) -> Result<Result<(), Refusal>> {
        if !is_from_our_page(&answer.response.client_data_json, db.public_url()) {
            return Ok(Err(Refusal::OtherPage));
        }
        if answer.get_user_unique_id() != Some(self.of.user.as_bytes().as_slice()) {
            return Ok(Err(Refusal::OtherUser));
        }
        let party = relying_party(db.public_url())?;
        Ok(
            match party.finish_discoverable_authentication_v2(answer, state, &self.credential) {
                Ok(result) => {
                    self.credential.update_credential(&result);
                    Ok(())
                }
                Err(WebauthnError::CredentialPossibleCompromise) => Err(Refusal::Cloned),
                Err(error) => Err(Refusal::Invalid(error)),
            },
        )
    }

    async fn write_back(&self, tx: &Tx) -> Result<()> {
        let credential = serde_json::to_value(&self.credential).map_err(Error::internal)?;
        tx.run(
            "UPDATE passkey SET credential = $3, last_used_at = $4 WHERE owner_id = $1 AND id = $2",
            [
                self.of.owner.into(),
                self.id.into(),
                credential.into(),
                tx.now().into(),
            ],
        )
        .await?;
        Ok(())
    }

    /// Writes a refusal down for its user, and says no more of it than has to be.
    async fn report(
        &self,
        limits: &Limits,
        tx: &Tx,
        client: &ClientInfo,
        refusal: &Refusal,
    ) -> Result<Error> {
        let (kind, error) = match refusal {
            Refusal::Cloned => (
                audit::Kind::PasskeyCloned,
                Error::invalid(
                    "",
                    Code::PasskeyRefused,
                    "This passkey may have been copied, and was not accepted. Sign in another way, and remove it.",
                ),
            ),
            _ => (audit::Kind::SignInRefused, refused()),
        };
        let reason = match refusal {
            Refusal::OtherPage => "it was asked for by another page".to_owned(),
            Refusal::OtherUser => "it says that it is another user's".to_owned(),
            Refusal::Cloned => "its counter went back".to_owned(),
            Refusal::Invalid(error) => error.to_string(),
        };
        tracing::warn!(passkey = %self.id, reason, "a passkey was refused");
        let event = Event::new(kind).by(Method::Passkey.as_str()).about(&self.name);
        match kind {
            // Takes the passkey itself, and is told of each time.
            audit::Kind::PasskeyCloned => audit::record(tx, self.of, Some(client), event).await?,
            _ => audit::record_refused(tx, limits, self.of, client, event).await?,
        }
        Ok(error)
    }
}
