//! The second factor: a user may require a passkey of whoever signs in by something else. Between the two
//! factors there is no session, only a ceremony in which the second is presented: a passkey of theirs, or, if
//! all of those are lost, a recovery code.

use serde_json::Value;
use uuid::Uuid;

use super::audit::{self, Event};
use super::browser::BrowserSecret;
use super::ceremony::{self, Ceremony, Handle, Kind};
use super::passkey::{self, Presented};
use super::session::{self, Authentication, ClientInfo, Method, UserRef};
use super::sign_in::{self, FirstFactor, Outcome};
use crate::db::{Db, Tx};
use crate::error::{Code, Error, Result};
use crate::limit::{Bucket, Limits, client_key};
use crate::viewer::Via;

pub use super::recovery_code::RecoveryCode;

/// How many may be tried after one first factor.
const MOST_ATTEMPTS: i16 = 10;
/// How many recovery codes are made at once.
const CODES: usize = 10;

/// What a user has chosen, and what they have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Whether whoever signs in by something else presents a passkey too.
    pub required: bool,
    /// How many recovery codes were not used yet.
    pub codes_left: u32,
}

/// The viewer's own.
///
/// # Errors
/// When the database refuses or is gone.
pub async fn setting(tx: &Tx) -> Result<Setting> {
    let row = tx
        .query_one_row(
            "SELECT u.passkey_required, \
                 (SELECT count(*) FROM recovery_code c WHERE c.owner_id = u.owner_id AND c.user_id = u.id \
                  AND c.used_at IS NULL) AS codes_left FROM app_user u WHERE u.id = $1",
            [tx.viewer()?.user().into()],
        )
        .await?
        .ok_or(Error::NotFound)?;
    let left: i64 = row.try_get("", "codes_left")?;
    Ok(Setting {
        required: row.try_get("", "passkey_required")?,
        codes_left: u32::try_from(left).unwrap_or(u32::MAX),
    })
}

/// Requires a passkey from now on, ends the viewer's other sessions that began without one, and makes
/// recovery codes, which are shown this once. None when it was required already: then nothing changes.
///
/// # Errors
/// [`Error::Invalid`] with [`Code::StrongSessionRequired`] in a session that began with one factor (it would end
/// itself), and with [`Code::Required`] for who has no passkey.
pub async fn require(tx: &Tx) -> Result<Option<Vec<RecoveryCode>>> {
    hold(tx).await?;
    if setting(tx).await?.required {
        return Ok(None);
    }
    if passkey::list(tx).await?.is_empty() {
        return Err(Error::invalid("", Code::Required, "Add a passkey first."));
    }
    assert_strong(tx).await?;
    set_required(tx, true).await?;
    end_weak_sessions(tx).await?;
    let codes = replace_codes(tx).await?;
    audit::record_own(tx, Event::new(audit::Kind::PasskeyRequired)).await?;
    Ok(Some(codes))
}

/// Requires a passkey no longer; the recovery codes are void. Nothing changes when it was not required.
///
/// # Errors
/// [`Error::Invalid`] with [`Code::StrongSessionRequired`] in a session that began with one factor.
pub async fn release(tx: &Tx) -> Result<()> {
    hold(tx).await?;
    if !setting(tx).await?.required {
        return Ok(());
    }
    assert_strong(tx).await?;
    set_required(tx, false).await?;
    remove_codes(tx).await?;
    audit::record_own(tx, Event::new(audit::Kind::PasskeyOptional)).await
}

/// Makes new recovery codes, which are shown this once; the ones before are void.
///
/// # Errors
/// [`Error::Invalid`] with [`Code::StrongSessionRequired`] in a session that began with one factor, and with
/// [`Code::Required`] when no passkey is required, so that no code would ever be asked for.
pub async fn renew_codes(tx: &Tx) -> Result<Vec<RecoveryCode>> {
    hold(tx).await?;
    if !setting(tx).await?.required {
        let message = "Recovery codes are for accounts that require a passkey.";
        return Err(Error::invalid("", Code::Required, message));
    }
    assert_strong(tx).await?;
    replace_codes(tx).await
}

/// Holds the viewer's account until the transaction ends: a sign-in that asks whether a passkey is required
/// waits (as [`sign_in`] holds it too), and so does another change of it.
pub(super) async fn hold(tx: &Tx) -> Result<()> {
    tx.query_one_row(
        "SELECT 1 AS one FROM app_user WHERE id = $1 FOR NO KEY UPDATE",
        [tx.viewer()?.user().into()],
    )
    .await?
    .ok_or(Error::Unauthenticated)?;
    Ok(())
}

/// Refuses a session that began with one factor. As [`Authentication::is_strong`].
async fn assert_strong(tx: &Tx) -> Result<()> {
    let row = tx
        .query_one_row(
            "SELECT 1 AS one FROM session WHERE id = $1 AND user_id = $2 \
             AND (second_factor IS NOT NULL OR method IN ('passkey', 'development'))",
            [session_of(tx)?.into(), tx.viewer()?.user().into()],
        )
        .await?;
    match row {
        Some(_) => Ok(()),
        None => Err(Error::invalid(
            "",
            Code::StrongSessionRequired,
            "Sign in with your passkey first.",
        )),
    }
}

async fn end_weak_sessions(tx: &Tx) -> Result<()> {
    tx.run(
        "UPDATE session SET ended_at = $3 WHERE user_id = $1 AND id <> $2 AND ended_at IS NULL \
         AND second_factor IS NULL AND method NOT IN ('passkey', 'development')",
        [
            tx.viewer()?.user().into(),
            session_of(tx)?.into(),
            tx.now().into(),
        ],
    )
    .await?;
    Ok(())
}

async fn set_required(tx: &Tx, required: bool) -> Result<()> {
    tx.run(
        "UPDATE app_user SET passkey_required = $2 WHERE id = $1",
        [tx.viewer()?.user().into(), required.into()],
    )
    .await?;
    Ok(())
}

async fn remove_codes(tx: &Tx) -> Result<()> {
    tx.run(
        "DELETE FROM recovery_code WHERE user_id = $1",
        [tx.viewer()?.user().into()],
    )
    .await?;
    Ok(())
}

async fn replace_codes(tx: &Tx) -> Result<Vec<RecoveryCode>> {
    remove_codes(tx).await?;
    let user = tx.viewer()?.user();
    let codes = (0..CODES)
        .map(|_| RecoveryCode::new())
        .collect::<Result<Vec<_>>>()?;
    let ids: Vec<Uuid> = codes.iter().map(|_| tx.new_id()).collect();
    let hashes: Vec<Vec<u8>> = codes.iter().map(|code| code.hash(user).to_vec()).collect();
    tx.run(
        "INSERT INTO recovery_code (owner_id, id, user_id, code_hash, created_at) \
         SELECT $1, i, $2, h, $3 FROM unnest($4::uuid[], $5::bytea[]) c (i, h)",
        [
            tx.owner()?.into(),
            user.into(),
            tx.now().into(),
            ids.into(),
            hashes.into(),
        ],
    )
    .await?;
    audit::record_own(tx, Event::new(audit::Kind::RecoveryCodesCreated)).await?;
    Ok(codes)
}

fn session_of(tx: &Tx) -> Result<Uuid> {
    let Via::Session(session) = tx.viewer()?.via() else {
        return Err(Error::Forbidden);
    };
    Ok(session)
}

/// Ends a sign-in with a passkey of the very user who gave the first factor. `challenge` is of
/// [`passkey::begin_sign_in`], `answer` an `AuthenticationResponseJSON`.
///
/// # Errors
/// [`Error::Invalid`] with [`Code::LinkInvalid`] when the first factor was given too long ago, in another browser,
/// or too much was tried since, and as [`passkey::sign_in`].
pub async fn present_passkey(
    db: &Db,
    limits: &Limits,
    handle: &Handle,
    challenge: &Handle,
    answer: Value,
    browser: &BrowserSecret,
    client: &ClientInfo,
) -> Result<Outcome> {
    let key = client_key(client.address);
    limits.take(Bucket::PasskeyAttemptsPerClient, &key, 1).await?;
    let tx = db.begin_auth().await?;
    let (of, first) = attempt(&tx, handle, browser).await?;
    let refusal = match passkey::present(db, limits, &tx, challenge, answer, browser, client).await? {
        Presented::By(holder) if holder.of == of => None,
        Presented::By(_) => Some(Error::invalid(
            "",
            Code::PasskeyRefused,
            "This is another account's passkey.",
        )),
        Presented::Refused(error) => Some(error),
    };
    if let Some(error) = refusal {
        refuse(tx, of, session::SecondFactor::Passkey, client).await?;
        return Err(error);
    }
    finish(
        tx,
        of,
        first,
        session::SecondFactor::Passkey,
        handle,
        browser,
        client,
    )
    .await
}

/// Ends a sign-in with a recovery code that was not used yet.
///
/// # Errors
/// [`Error::Invalid`] with [`Code::Invalid`] for a code that is wrong or used, with [`Code::LinkInvalid`] as
/// [`present_passkey`]; [`Error::RateLimited`] after too many for this client or this user.
pub async fn present_code(
    db: &Db,
    limits: &Limits,
    handle: &Handle,
    code: &str,
    browser: &BrowserSecret,
    client: &ClientInfo,
) -> Result<Outcome> {
    let key = client_key(client.address);
    limits.take(Bucket::RecoveryCodesPerClient, &key, 1).await?;
    let tx = db.begin_auth().await?;
    let (of, first) = attempt(&tx, handle, browser).await?;
    let user = of.user.to_string();
    if let Err(error) = limits.take(Bucket::RecoveryCodesPerUser, &user, 1).await {
        tx.commit().await?;
        return Err(error);
    }
    if !spend(&tx, of, code).await? {
        refuse(tx, of, session::SecondFactor::RecoveryCode, client).await?;
        return Err(Error::invalid(
            "code",
            Code::Invalid,
            "This code is wrong, or was used already.",
        ));
    }
    audit::record(&tx, of, Some(client), Event::new(audit::Kind::RecoveryCodeUsed)).await?;
    let factor = session::SecondFactor::RecoveryCode;
    finish(tx, of, first, factor, handle, browser, client).await
}

/// The ceremony of the first factor, one attempt more; held until the transaction ends.
async fn attempt(tx: &Tx, handle: &Handle, browser: &BrowserSecret) -> Result<(UserRef, FirstFactor)> {
    let ceremony = ceremony::attempt::<FirstFactor>(tx, Kind::SecondFactor, handle, browser, MOST_ATTEMPTS)
        .await?
        .ok_or_else(over)?;
    let Ceremony { of: Some(of), state } = ceremony else {
        return Err(Error::internal("a second factor of nobody"));
    };
    Ok((of, state))
}

/// Uses up a code. Of many who come with the same at once, one finds it unused.
async fn spend(tx: &Tx, of: UserRef, code: &str) -> Result<bool> {
    let Some(code) = RecoveryCode::parse(code) else {
        return Ok(false);
    };
    let spent = tx
        .run(
            "UPDATE recovery_code SET used_at = $4 \
             WHERE owner_id = $1 AND user_id = $2 AND code_hash = $3 AND used_at IS NULL",
            [
                of.owner.into(),
                of.user.into(),
                code.hash(of.user).to_vec().into(),
                tx.now().into(),
            ],
        )
        .await?;
    Ok(spent == 1)
}

/// Writes a wrong one down, and lets the attempt count.
async fn refuse(tx: Tx, of: UserRef, factor: session::SecondFactor, client: &ClientInfo) -> Result<()> {
    let event = Event::new(audit::Kind::SecondFactorRefused).by(factor.as_str());
    audit::record(&tx, of, Some(client), event).await?;
    tx.commit().await
}

async fn finish(
    tx: Tx,
    of: UserRef,
    first: FirstFactor,
    factor: session::SecondFactor,
    handle: &Handle,
    browser: &BrowserSecret,
    client: &ClientInfo,
) -> Result<Outcome> {
    ceremony::end::<FirstFactor>(&tx, Kind::SecondFactor, handle, browser)
        .await?
        .ok_or_else(over)?;
    let how = Authentication {
        method: Method::parse(&first.method).ok_or_else(|| Error::internal("an unknown first factor"))?,
        provider: first.provider,
        second_factor: Some(factor),
    };
    let outcome = sign_in::complete(&tx, of, how, client, browser, &first.return_to).await?;
    tx.commit().await?;
    Ok(outcome)
}

/// The first factor counts no longer.
fn over() -> Error {
    Error::invalid(
        "",
        Code::LinkInvalid,
        "This took too long, or too much was tried. Please sign in again.",
    )
}
