//! The rows that a batch writes, as they travel to the statements that write them. Field names are those
//! of the columns.

use serde::Serialize;
use uuid::Uuid;

use crate::import::draft::{DraftAddress, Name};

#[derive(Serialize)]
pub(super) struct ContactRow {
    pub(super) id: Uuid,
    #[serde(flatten)]
    pub(super) names: Name,
    pub(super) display_name: String,
    pub(super) starred: bool,
}

#[derive(Serialize)]
pub(super) struct EmailRow {
    pub(super) id: Uuid,
    pub(super) contact_id: Uuid,
    pub(super) position: i32,
    pub(super) label: Option<String>,
    pub(super) address: String,
    pub(super) canonical: String,
}

#[derive(Serialize)]
pub(super) struct PhoneRow {
    pub(super) id: Uuid,
    pub(super) contact_id: Uuid,
    pub(super) position: i32,
    pub(super) label: Option<String>,
    pub(super) raw: String,
    pub(super) e164: Option<String>,
}

#[derive(Serialize)]
pub(super) struct LinkRow {
    pub(super) id: Uuid,
    pub(super) contact_id: Uuid,
    pub(super) position: i32,
    pub(super) label: Option<String>,
    pub(super) url: String,
}

#[derive(Serialize)]
pub(super) struct AddressRow {
    pub(super) id: Uuid,
    pub(super) contact_id: Uuid,
    pub(super) position: i32,
    #[serde(flatten)]
    pub(super) address: DraftAddress,
}

#[derive(Serialize)]
pub(super) struct DateRow {
    pub(super) id: Uuid,
    pub(super) contact_id: Uuid,
    pub(super) position: i32,
    pub(super) kind: &'static str,
    pub(super) label: Option<String>,
    pub(super) year: Option<i16>,
    pub(super) month: Option<u8>,
    pub(super) day: Option<u8>,
}

#[derive(Serialize)]
pub(super) struct AffiliationRow {
    pub(super) id: Uuid,
    pub(super) contact_id: Uuid,
    pub(super) position: i32,
    /// Folded, until its id is known.
    #[serde(skip)]
    pub(super) company: Option<String>,
    pub(super) company_id: Option<Uuid>,
    pub(super) title: Option<String>,
    pub(super) department: Option<String>,
}

#[derive(Serialize)]
pub(super) struct CompanyRow {
    pub(super) id: Uuid,
    pub(super) name: String,
}

#[derive(Serialize)]
pub(super) struct TagRow {
    pub(super) id: Uuid,
    pub(super) name: String,
}

#[derive(Serialize)]
pub(super) struct TagLinkRow {
    pub(super) id: Uuid,
    pub(super) contact_id: Uuid,
    pub(super) tag_id: Uuid,
}

#[derive(Serialize)]
pub(super) struct NoteRow {
    pub(super) id: Uuid,
    pub(super) contact_id: Uuid,
    /// Sealed, in Base64.
    pub(super) body: String,
}

#[derive(Serialize)]
pub(super) struct DigestRow {
    pub(super) contact_id: Uuid,
    /// In Base64.
    pub(super) digest: String,
}

#[derive(Serialize)]
pub(super) struct OutcomeRow {
    pub(super) row: i32,
    pub(super) line: u64,
    pub(super) outcome: &'static str,
    pub(super) contact_id: Option<Uuid>,
    pub(super) code: Option<&'static str>,
    pub(super) message: Option<String>,
    pub(super) column_name: Option<String>,
}

/// All new rows. One statement, since the triggers that keep the search text then see a contact with its
/// addresses and companies, and write its text once.
pub(super) const INSERT: &str = "
WITH new_company AS (
    INSERT INTO company (owner_id, id, name, created_at, updated_at)
    SELECT $1, x.id, x.name, $2, $2 FROM json_to_recordset($3::text::json) AS x (id uuid, name text)
), new_tag AS (
    INSERT INTO tag (owner_id, id, name, created_at)
    SELECT $1, x.id, x.name, $2 FROM json_to_recordset($4::text::json) AS x (id uuid, name text)
), new_contact AS (
    INSERT INTO contact (owner_id, id, name_prefix, given_name, additional_name, family_name, name_suffix, nickname,
        phonetic_given_name, phonetic_family_name, file_as, display_name, starred, created_at, updated_at)
    SELECT $1, x.id, x.prefix, x.given, x.additional, x.family, x.suffix, x.nickname, x.phonetic_given,
        x.phonetic_family, x.file_as, x.display_name, x.starred, $2, $2
    FROM json_to_recordset($5::text::json) AS x (id uuid, prefix text, given text, additional text, family text,
        suffix text, nickname text, phonetic_given text, phonetic_family text, file_as text, display_name text,
        starred boolean)
), new_email AS (
    INSERT INTO contact_email (owner_id, id, contact_id, position, label, address, canonical)
    SELECT $1, x.* FROM json_to_recordset($6::text::json)
        AS x (id uuid, contact_id uuid, position integer, label text, address text, canonical text)
), new_phone AS (
    INSERT INTO contact_phone (owner_id, id, contact_id, position, label, raw, e164)
    SELECT $1, x.* FROM json_to_recordset($7::text::json)
        AS x (id uuid, contact_id uuid, position integer, label text, raw text, e164 text)
), new_link AS (
    INSERT INTO contact_link (owner_id, id, contact_id, position, label, url)
    SELECT $1, x.* FROM json_to_recordset($8::text::json)
        AS x (id uuid, contact_id uuid, position integer, label text, url text)
), new_address AS (
    INSERT INTO contact_address (owner_id, id, contact_id, position, label, formatted, street, extended, city, po_box,
        region, postal_code, country)
    SELECT $1, x.* FROM json_to_recordset($9::text::json)
        AS x (id uuid, contact_id uuid, position integer, label text, formatted text, street text, extended text,
            city text, po_box text, region text, postal_code text, country text)
), new_date AS (
    INSERT INTO contact_date (owner_id, id, contact_id, position, kind, label, year, month, day)
    SELECT $1, x.* FROM json_to_recordset($10::text::json)
        AS x (id uuid, contact_id uuid, position integer, kind text, label text, year smallint, month smallint,
            day smallint)
), new_affiliation AS (
    INSERT INTO affiliation (owner_id, id, contact_id, position, company_id, title, department)
    SELECT $1, x.* FROM json_to_recordset($11::text::json)
        AS x (id uuid, contact_id uuid, position integer, company_id uuid, title text, department text)
), new_contact_tag AS (
    INSERT INTO contact_tag (owner_id, id, contact_id, tag_id)
    SELECT $1, x.* FROM json_to_recordset($12::text::json) AS x (id uuid, contact_id uuid, tag_id uuid)
), new_note AS (
    INSERT INTO note (owner_id, id, contact_id, body, created_at, updated_at)
    SELECT $1, x.id, x.contact_id, decode(x.body, 'base64'), $2, $2
    FROM json_to_recordset($13::text::json) AS x (id uuid, contact_id uuid, body text)
)
INSERT INTO import_digest (owner_id, digest, contact_id, import_id)
SELECT $1, decode(x.digest, 'base64'), x.contact_id, $15
FROM json_to_recordset($14::text::json) AS x (digest text, contact_id uuid)
ON CONFLICT (owner_id, digest) DO NOTHING";

/// The names of contacts that have got something, be it only in one of their lists.
pub(super) const UPDATE: &str = "
UPDATE contact c SET name_prefix = x.prefix, given_name = x.given, additional_name = x.additional,
    family_name = x.family, name_suffix = x.suffix, nickname = x.nickname,
    phonetic_given_name = x.phonetic_given, phonetic_family_name = x.phonetic_family, file_as = x.file_as,
    display_name = x.display_name, version = c.version + 1, updated_at = $2
FROM json_to_recordset($1::text::json) AS x (id uuid, prefix text, given text, additional text, family text,
    suffix text, nickname text, phonetic_given text, phonetic_family text, file_as text, display_name text)
WHERE c.id = x.id";

/// Each row's outcome, and the import's progress.
pub(super) const OUTCOMES: &str = "
WITH done AS (
    SELECT x.* FROM json_to_recordset($3::text::json) AS x (row integer, line bigint, outcome text, contact_id uuid,
        code text, message text, column_name text)
), written AS (
    INSERT INTO import_row (owner_id, import_id, row, line, outcome, contact_id, code, message, column_name)
    SELECT $1, $2, d.row, d.line, d.outcome, d.contact_id, d.code, d.message, d.column_name FROM done d
)
UPDATE import i SET rows_total = i.rows_total + n.total, created = i.created + n.created,
    updated = i.updated + n.updated, skipped = i.skipped + n.skipped, rejected = i.rejected + n.rejected,
    bytes_done = greatest(i.bytes_done, least($4, i.bytes_total))
FROM (SELECT count(*)::integer AS total,
        count(*) FILTER (WHERE outcome = 'created')::integer AS created,
        count(*) FILTER (WHERE outcome = 'updated')::integer AS updated,
        count(*) FILTER (WHERE outcome = 'skipped')::integer AS skipped,
        count(*) FILTER (WHERE outcome = 'rejected')::integer AS rejected FROM done) n
WHERE i.id = $2";
