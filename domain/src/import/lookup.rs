//! What a batch must know of the database before it decides: one statement for each question.

use std::collections::{HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::draft::Draft;
use super::person::{called, tags};
use crate::db::Tx;
use crate::error::{Error, Result};

/// Names as `fold()` in the database sees them: in lower case, without accents.
#[derive(Default)]
pub(super) struct Folded(HashMap<String, String>);

impl Folded {
    /// Every text that is asked for was folded with the batch.
    pub(super) fn get(&self, text: &str) -> Result<&str> {
        let found = self.0.get(text);
        found
            .map(String::as_str)
            .ok_or_else(|| Error::internal("a name that was not folded"))
    }
}

pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<sea_orm::Value> {
    Ok(serde_json::to_string(value).map_err(Error::internal)?.into())
}

fn parsed<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::internal)
}

/// Folds the names of people, companies and tags that the drafts hold.
pub(super) async fn fold<'a>(tx: &Tx, drafts: impl Iterator<Item = &'a Draft>) -> Result<Folded> {
    let mut texts = HashSet::new();
    for draft in drafts {
        texts.extend(called(draft).name);
        texts.extend(
            draft
                .affiliations
                .iter()
                .filter_map(|place| place.company.clone()),
        );
        texts.extend(tags(draft).map(str::to_owned));
    }
    if texts.is_empty() {
        return Ok(Folded::default());
    }
    let rows = tx
        .query(
            "SELECT t.value AS text, fold(t.value) AS folded FROM json_array_elements_text($1::text::json) t",
            [json(&texts)?],
        )
        .await?;
    let pairs = rows
        .iter()
        .map(|row| Ok((row.try_get("", "text")?, row.try_get("", "folded")?)));
    Ok(Folded(pairs.collect::<Result<_>>()?))
}

/// Which of the digests are known: of which contact, and first seen by which import.
pub(super) async fn digests(
    tx: &Tx,
    digests: impl Iterator<Item = &[u8; 32]>,
) -> Result<HashMap<[u8; 32], (Uuid, Uuid)>> {
    let asked: Vec<String> = digests.map(|digest| STANDARD.encode(digest)).collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = tx
        .query(
            "SELECT digest, contact_id, import_id FROM import_digest WHERE digest = ANY (ARRAY( \
             SELECT decode(t.value, 'base64') FROM json_array_elements_text($1::text::json) t))",
            [json(&asked)?],
        )
        .await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in rows {
        let digest: Vec<u8> = row.try_get("", "digest")?;
        let digest = digest.as_slice().try_into().map_err(Error::internal)?;
        known.insert(
            digest,
            (row.try_get("", "contact_id")?, row.try_get("", "import_id")?),
        );
    }
    Ok(known)
}

/// An address or number that a row is looked for by, with the row's folded name if it has one.
#[derive(Serialize, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    /// A canonical e-mail address, or a number in E.164. No text is both.
    pub(super) key: String,
    pub(super) name: Option<String>,
}

/// What was found about a key.
pub(super) enum Holder {
    /// The oldest contact that has this key and this folded name.
    Same { key: String, name: String, id: Uuid },
    /// The oldest contact that has this key, and no name.
    Nameless { key: String, id: Uuid },
    /// How many contacts have this key, and one of them.
    Count { key: String, count: i64, one: Uuid },
}

/// All holders of the keys are read once, whatever the number of rows that look for them: a file in
/// which everybody has the same address must not cost its square.
const HOLDERS: &str = "
WITH wanted AS MATERIALIZED (
    SELECT w.key, w.name FROM json_to_recordset($1::text::json) AS w (key text, name text)
), reached AS MATERIALIZED (
    SELECT e.canonical AS key, e.owner_id, e.contact_id FROM contact_email e
    WHERE e.canonical = ANY (ARRAY(SELECT key FROM wanted))
    UNION
    SELECT p.e164, p.owner_id, p.contact_id FROM contact_phone p WHERE p.e164 = ANY (ARRAY(SELECT key FROM wanted))
), held AS MATERIALIZED (
    SELECT r.key, c.id, c.created_at, fold(c.display_name) AS name,
        num_nonnulls(c.given_name, c.additional_name, c.family_name, c.name_suffix, c.nickname, c.file_as,
            c.phonetic_given_name, c.phonetic_family_name) = 0
        AND (EXISTS (SELECT 1 FROM contact_email e
                WHERE e.owner_id = c.owner_id AND e.contact_id = c.id AND e.address = c.display_name)
            OR EXISTS (SELECT 1 FROM contact_phone p
                WHERE p.owner_id = c.owner_id AND p.contact_id = c.id AND p.raw = c.display_name)) AS nameless
    FROM reached r JOIN contact c ON c.owner_id = r.owner_id AND c.id = r.contact_id
)
(SELECT DISTINCT ON (h.key, h.name) h.key, h.name, h.id, NULL::bigint AS holders
    FROM held h JOIN wanted w ON w.key = h.key AND w.name = h.name
    WHERE NOT h.nameless ORDER BY h.key, h.name, h.created_at, h.id)
UNION ALL
(SELECT DISTINCT ON (h.key) h.key, NULL, h.id, NULL FROM held h
    WHERE h.nameless ORDER BY h.key, h.created_at, h.id)
UNION ALL
(SELECT h.key, NULL, (array_agg(h.id))[1], count(*) FROM held h GROUP BY h.key)";

/// Who has the wanted keys.
pub(super) async fn holders(tx: &Tx, wanted: &HashSet<Wanted>) -> Result<Vec<Holder>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.query(HOLDERS, [json(wanted)?]).await?;
    rows.iter()
        .map(|row| {
            let (key, id) = (row.try_get("", "key")?, row.try_get("", "id")?);
            let name: Option<String> = row.try_get("", "name")?;
            Ok(match (name, row.try_get("", "holders")?) {
                (Some(name), _) => Holder::Same { key, name, id },
                (None, None) => Holder::Nameless { key, id },
                (None, Some(count)) => Holder::Count { key, count, one: id },
            })
        })
        .collect()
}

/// A contact as it is before the batch.
#[derive(Deserialize)]
pub(super) struct Stored {
    pub(super) id: Uuid,
    pub(super) folded: String,
    pub(super) display_name: String,
    pub(super) name_prefix: Option<String>,
    pub(super) given_name: Option<String>,
    pub(super) additional_name: Option<String>,
    pub(super) family_name: Option<String>,
    pub(super) name_suffix: Option<String>,
    pub(super) nickname: Option<String>,
    pub(super) phonetic_given_name: Option<String>,
    pub(super) phonetic_family_name: Option<String>,
    pub(super) file_as: Option<String>,
    pub(super) emails: Vec<StoredEmail>,
    pub(super) phones: Vec<StoredPhone>,
    pub(super) links: Vec<StoredLink>,
    pub(super) addresses: Vec<StoredAddress>,
    pub(super) dates: Vec<StoredDate>,
    pub(super) affiliations: Vec<StoredAffiliation>,
    /// Folded.
    pub(super) tags: Vec<String>,
    digests: Vec<String>,
}

impl Stored {
    /// The digests of rows and texts that it has got from files.
    pub(super) fn digests(&self) -> impl Iterator<Item = [u8; 32]> {
        self.digests
            .iter()
            .filter_map(|text| STANDARD.decode(text).ok()?.try_into().ok())
    }
}

#[derive(Deserialize)]
pub(super) struct StoredEmail {
    pub(super) position: i32,
    pub(super) address: String,
    pub(super) canonical: String,
}

#[derive(Deserialize)]
pub(super) struct StoredPhone {
    pub(super) position: i32,
    pub(super) raw: String,
    pub(super) e164: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct StoredLink {
    pub(super) position: i32,
    pub(super) url: String,
}

#[derive(Deserialize)]
pub(super) struct StoredAddress {
    pub(super) position: i32,
    /// Formatted, street, extended, city, post box, region, postal code, country.
    pub(super) parts: [Option<String>; 8],
}

#[derive(Deserialize)]
pub(super) struct StoredDate {
    pub(super) position: i32,
    pub(super) kind: String,
    pub(super) label: Option<String>,
    pub(super) year: Option<i16>,
    pub(super) month: Option<u8>,
    pub(super) day: Option<u8>,
}

#[derive(Deserialize)]
pub(super) struct StoredAffiliation {
    pub(super) position: i32,
    /// Folded.
    pub(super) company: Option<String>,
    pub(super) title: Option<String>,
    pub(super) department: Option<String>,
}

const STORED: &str = "
SELECT row_to_json(s)::text AS contact FROM (
    SELECT c.id, fold(c.display_name) AS folded, c.display_name, c.name_prefix, c.given_name, c.additional_name,
        c.family_name, c.name_suffix, c.nickname, c.phonetic_given_name, c.phonetic_family_name, c.file_as,
        (SELECT coalesce(json_agg(json_build_object('position', e.position, 'address', e.address,
                'canonical', e.canonical)), '[]')
            FROM contact_email e WHERE e.owner_id = c.owner_id AND e.contact_id = c.id) AS emails,
        (SELECT coalesce(json_agg(json_build_object('position', p.position, 'raw', p.raw, 'e164', p.e164)), '[]')
            FROM contact_phone p WHERE p.owner_id = c.owner_id AND p.contact_id = c.id) AS phones,
        (SELECT coalesce(json_agg(json_build_object('position', l.position, 'url', l.url)), '[]')
            FROM contact_link l WHERE l.owner_id = c.owner_id AND l.contact_id = c.id) AS links,
        (SELECT coalesce(json_agg(json_build_object('position', a.position, 'parts', json_build_array(a.formatted,
                a.street, a.extended, a.city, a.po_box, a.region, a.postal_code, a.country))), '[]')
            FROM contact_address a WHERE a.owner_id = c.owner_id AND a.contact_id = c.id) AS addresses,
        (SELECT coalesce(json_agg(json_build_object('position', d.position, 'kind', d.kind, 'label', d.label,
                'year', d.year, 'month', d.month, 'day', d.day)), '[]')
            FROM contact_date d WHERE d.owner_id = c.owner_id AND d.contact_id = c.id) AS dates,
        (SELECT coalesce(json_agg(json_build_object('position', f.position, 'company', fold(o.name),
                'title', f.title, 'department', f.department)), '[]')
            FROM affiliation f LEFT JOIN company o ON o.owner_id = f.owner_id AND o.id = f.company_id
            WHERE f.owner_id = c.owner_id AND f.contact_id = c.id) AS affiliations,
        (SELECT coalesce(json_agg(t.sort_name), '[]')
            FROM contact_tag l JOIN tag t ON t.owner_id = l.owner_id AND t.id = l.tag_id
            WHERE l.owner_id = c.owner_id AND l.contact_id = c.id) AS tags,
        (SELECT coalesce(json_agg(encode(g.digest, 'base64')), '[]')
            FROM import_digest g WHERE g.owner_id = c.owner_id AND g.contact_id = c.id) AS digests
    FROM contact c
    WHERE c.id = ANY (ARRAY(SELECT t.value::uuid FROM json_array_elements_text($1::text::json) t))) s";

/// Those contacts, with all that a row could add to.
pub(super) async fn stored(tx: &Tx, ids: &HashSet<Uuid>) -> Result<Vec<Stored>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.query(STORED, [json(ids)?]).await?;
    rows.iter()
        .map(|row| parsed(&row.try_get::<String>("", "contact")?))
        .collect()
}

/// The ids of companies and tags that are there, by their folded names; of equal companies, the oldest.
pub(super) struct Places {
    pub(super) companies: HashMap<String, Uuid>,
    pub(super) tags: HashMap<String, Uuid>,
}

/// `sort_name` of a company is cut, so that it is only where to look.
const PLACES: &str = "
(SELECT DISTINCT ON (w.value) true AS company, w.value AS folded, c.id
    FROM json_array_elements_text($1::text::json) w
    JOIN company c ON c.sort_name = left(w.value, 500) AND fold(c.name) = w.value
    ORDER BY w.value, c.created_at, c.id)
UNION ALL
(SELECT false, t.sort_name, t.id FROM json_array_elements_text($2::text::json) w JOIN tag t ON t.sort_name = w.value)";

/// Looks for companies and tags by their folded names.
pub(super) async fn places<'a>(
    tx: &Tx,
    companies: impl Iterator<Item = &'a String>,
    tags: impl Iterator<Item = &'a String>,
) -> Result<Places> {
    let (companies, tags): (Vec<_>, Vec<_>) = (companies.collect(), tags.collect());
    let mut places = Places {
        companies: HashMap::new(),
        tags: HashMap::new(),
    };
    if companies.is_empty() && tags.is_empty() {
        return Ok(places);
    }
    for row in tx.query(PLACES, [json(&companies)?, json(&tags)?]).await? {
        let (folded, id) = (row.try_get("", "folded")?, row.try_get("", "id")?);
        if row.try_get("", "company")? {
            places.companies.insert(folded, id);
        } else {
            places.tags.insert(folded, id);
        }
    }
    Ok(places)
}
