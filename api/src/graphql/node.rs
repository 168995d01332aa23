//! Global ids: opaque to clients, a kind and a UUID to us. An id that is malformed, of another kind, or
//! another user's is answered like one that does not exist.

use async_graphql::{Context, ID, Interface, Object, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::identity::scope::Scope;
use uuid::Uuid;

use super::account::User;
use super::api_key::ApiKey;
use super::audit::AuditEvent;
use super::company::Company;
use super::contact::types::{Contact, ContactPage};
use super::error::{reader, top_level};
use super::import::Import;
use super::note::Note;
use super::passkey::Passkey;
use super::scope::{require, require_session};
use super::session::Session;
use super::sign_in::{ExternalIdentity, UserEmail};
use super::tag::Tag;

/// What a global id is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    User,
    Contact,
    Company,
    Tag,
    Note,
    Import,
    Session,
    AuditEvent,
    Passkey,
    UserEmail,
    ExternalIdentity,
    ApiKey,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::User,
        Self::Contact,
        Self::Company,
        Self::Tag,
        Self::Note,
        Self::Import,
        Self::Session,
        Self::AuditEvent,
        Self::Passkey,
        Self::UserEmail,
        Self::ExternalIdentity,
        Self::ApiKey,
    ];

    fn byte(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Contact => 2,
            Self::Company => 3,
            Self::Tag => 4,
            Self::Note => 5,
            Self::Import => 6,
            Self::Session => 7,
            Self::AuditEvent => 8,
            Self::Passkey => 11,
            Self::UserEmail => 9,
            Self::ExternalIdentity => 10,
            Self::ApiKey => 12,
        }
    }

    /// What an API key needs to see one; none may see the rest.
    fn scope(self) -> Option<Scope> {
        match self {
            Self::User => Some(Scope::ProfileRead),
            Self::Contact => Some(Scope::ContactsRead),
            Self::Company => Some(Scope::CompaniesRead),
            Self::Tag => Some(Scope::TagsRead),
            Self::Note => Some(Scope::NotesRead),
            Self::Import => Some(Scope::ImportsRead),
            Self::Session | Self::AuditEvent | Self::Passkey => None,
            Self::UserEmail | Self::ExternalIdentity | Self::ApiKey => None,
        }
    }

    /// The global id of a row of this kind.
    pub(crate) fn id(self, uuid: Uuid) -> ID {
        let mut bytes = [0; 17];
        bytes[0] = self.byte();
        bytes[1..].copy_from_slice(uuid.as_bytes());
        ID(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The row that an id of this kind names; the nil UUID, which no row has, if it is no such id.
    pub(crate) fn uuid(self, id: &ID) -> Uuid {
        decode(id)
            .filter(|(kind, _)| *kind == self)
            .map(|(_, uuid)| uuid)
            .unwrap_or_default()
    }

    /// Several of [`Kind::uuid`].
    pub(crate) fn uuids(self, ids: &[ID]) -> Vec<Uuid> {
        ids.iter().map(|id| self.uuid(id)).collect()
    }
}

fn decode(id: &ID) -> Option<(Kind, Uuid)> {
    let bytes = URL_SAFE_NO_PAD.decode(id.as_bytes()).ok()?;
    let (byte, rest) = bytes.split_first()?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.byte() == *byte)?;
    Some((kind, Uuid::from_slice(rest).ok()?))
}

/// Anything that has a global id.
#[derive(Interface)]
#[graphql(field(
    name = "id",
    ty = "ID",
    desc = "The global id: opaque, and stable as long as the thing is there.\nScope: that of its kind."
))]
pub(crate) enum Node {
    User(User),
    Contact(Contact),
    Company(Company),
    Tag(Tag),
    Note(Note),
    Import(Import),
    Session(Session),
    AuditEvent(AuditEvent),
    Passkey(Passkey),
    UserEmail(UserEmail),
    ExternalIdentity(ExternalIdentity),
    ApiKey(ApiKey),
}

#[derive(Default)]
pub(crate) struct NodeQuery;

#[Object]
impl NodeQuery {
    /// Anything by its global id; null if there is no such thing.
    /// Scope: that of its kind.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global id.")] id: ID,
    ) -> Result<Option<Node>> {
        Ok(nodes(ctx, &[id]).await?.pop().flatten())
    }

    /// Several by their global ids, in the same order; null where there is no such thing. At most 100.
    /// Scope: that of its kind.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The global ids.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        nodes(ctx, &ids).await
    }
}

/// One statement a kind, whatever the number of ids.
async fn nodes(ctx: &Context<'_>, ids: &[ID]) -> Result<Vec<Option<Node>>> {
    let decoded: Vec<Option<(Kind, Uuid)>> = ids.iter().map(decode).collect();
    for (kind, _) in decoded.iter().flatten() {
        match kind.scope() {
            Some(scope) => require(ctx, scope)?,
            None => require_session(ctx)?,
        }
    }
    let reader = reader(ctx)?;
    let tx = reader.tx().await.map_err(top_level)?;
    let of = |kind: Kind| -> Vec<Uuid> {
        decoded
            .iter()
            .flatten()
            .filter(|(other, _)| *other == kind)
            .map(|(_, id)| *id)
            .collect()
    };
    let contacts = domain::contact::get_many(tx, &of(Kind::Contact))
        .await
        .map_err(top_level)?;
    let contacts = ContactPage::new(contacts, reader.clone());
    let companies = domain::company::get_many(tx, &of(Kind::Company))
        .await
        .map_err(top_level)?;
    let tags = domain::tag::get_many(tx, &of(Kind::Tag))
        .await
        .map_err(top_level)?;
    let notes = domain::note::get_many(tx, &of(Kind::Note))
        .await
        .map_err(top_level)?;
    let notes = Note::all(notes, reader.clone());
    let imports = domain::import::get_many(tx, &of(Kind::Import))
        .await
        .map_err(top_level)?;
    let user = match of(Kind::User).as_slice() {
        [] => None,
        _ => Some(domain::identity::account::me(tx).await.map_err(top_level)?),
    };
    let sessions = domain::identity::own_session::get_many(tx, &of(Kind::Session))
        .await
        .map_err(top_level)?;
    let events = domain::identity::trail::get_many(tx, &of(Kind::AuditEvent))
        .await
        .map_err(top_level)?;
    let passkeys = match of(Kind::Passkey).as_slice() {
        [] => Vec::new(),
        _ => domain::identity::passkey::list(tx).await.map_err(top_level)?,
    };
    let methods = match (
        of(Kind::UserEmail).as_slice(),
        of(Kind::ExternalIdentity).as_slice(),
    ) {
        ([], []) => None,
        _ => Some(domain::identity::methods::list(tx).await.map_err(top_level)?),
    };
    let keys = domain::identity::api_key::get_many(tx, &of(Kind::ApiKey))
        .await
        .map_err(top_level)?;
    let found = decoded.into_iter().map(|decoded| {
        let (kind, id) = decoded?;
        Some(match kind {
            Kind::User => User::new(user.clone().filter(|user| user.id == id)?, reader.clone()).into(),
            Kind::Contact => ContactPage::find(&contacts, id)?.into(),
            Kind::Company => Company(companies.iter().find(|company| company.id == id)?.clone()).into(),
            Kind::Tag => Tag(tags.iter().find(|tag| tag.id == id)?.clone()).into(),
            Kind::Note => notes.iter().find(|note| note.uuid() == id)?.clone().into(),
            Kind::Import => Import::new(
                imports.iter().find(|import| import.id == id)?.clone(),
                reader.clone(),
            )
            .into(),
            Kind::Session => Session(sessions.iter().find(|session| session.id == id)?.clone()).into(),
            Kind::Passkey => Passkey(passkeys.iter().find(|passkey| passkey.id == id)?.clone()).into(),
            Kind::ApiKey => ApiKey(keys.iter().find(|key| key.id == id)?.clone()).into(),
            Kind::AuditEvent => AuditEvent(events.iter().find(|event| event.id == id)?.clone()).into(),
            Kind::UserEmail => UserEmail::find(methods.as_ref()?, id)?.into(),
            Kind::ExternalIdentity => ExternalIdentity::find(methods.as_ref()?, id)?.into(),
        })
    });
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_as_it_went() {
        for kind in Kind::ALL {
            let uuid = Uuid::from_u128(7);
            assert_eq!(decode(&kind.id(uuid)), Some((kind, uuid)));
            assert_eq!(kind.uuid(&kind.id(uuid)), uuid);
        }
    }

    #[test]
    fn an_id_of_another_kind_and_garbage_name_nothing() {
        let tag = Kind::Tag.id(Uuid::from_u128(7));
        assert!(Kind::Contact.uuid(&tag).is_nil());
        for text in [
            "",
            "x",
            "1",
            "____",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            &"A".repeat(10_000),
        ] {
            assert!(Kind::Contact.uuid(&ID(text.to_owned())).is_nil(), "{text}");
        }
    }
}
