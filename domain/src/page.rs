//! Pages by keyset: a cursor holds the sort key and the id of the row that it stands at, and the next
//! page is what compares greater. A deep page costs what the first one costs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use sea_orm::sea_query::{Expr, Order};
use sea_orm::{EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use uuid::Uuid;

use crate::error::{Code, Error, Result};

/// A place in a list: the sort key of a row in that order, and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    order: u8,
    key: String,
    id: Uuid,
}

impl Cursor {
    /// The opaque form that clients keep.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = vec![self.order];
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(self.key.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn decode(text: &str, key: &SortKey) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (order, rest) = bytes.split_first()?;
        let (id, sort) = rest.split_at_checked(16)?;
        let cursor = Self {
            order: *order,
            key: String::from_utf8(sort.to_vec()).ok()?,
            id: Uuid::from_slice(id).ok()?,
        };
        // Years outside of these are no times of Postgres's, or not as it reads them.
        let time = |text: &str| {
            DateTime::parse_from_rfc3339(text).is_ok_and(|time| (1..=9999).contains(&time.year()))
        };
        let fits = !key.time || cursor.key == "-infinity" || time(&cursor.key);
        (cursor.order == key.tag && fits && !cursor.key.contains('\0')).then_some(cursor)
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.encode()
    }
}

/// What a list is sorted by, before the id: SQL of one column, or of none but the id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SortKey {
    /// Tells the cursors of one order from those of another.
    pub(crate) tag: u8,
    /// `(key, id) > (cursor's key, cursor's id)`.
    pub(crate) greater: &'static str,
    /// The same with less.
    pub(crate) less: &'static str,
    /// The column.
    pub(crate) column: &'static str,
    /// Whether the column is a time rather than a text.
    pub(crate) time: bool,
}

/// The sort key of a text column or a time column of a table.
macro_rules! sort_key {
    ($tag:literal, $table:literal, $column:literal, text) => {
        crate::page::SortKey {
            tag: $tag,
            greater: concat!("(", $table, ".", $column, ", ", $table, ".id) > ($1, $2)"),
            less: concat!("(", $table, ".", $column, ", ", $table, ".id) < ($1, $2)"),
            column: concat!($table, ".", $column),
            time: false,
        }
    };
    ($tag:literal, $table:literal, $column:literal, time) => {
        crate::page::SortKey {
            tag: $tag,
            greater: concat!(
                "(",
                $table,
                ".",
                $column,
                ", ",
                $table,
                ".id) > (CAST($1 AS timestamptz), $2)"
            ),
            less: concat!(
                "(",
                $table,
                ".",
                $column,
                ", ",
                $table,
                ".id) < (CAST($1 AS timestamptz), $2)"
            ),
            column: concat!($table, ".", $column),
            time: true,
        }
    };
}
pub(crate) use sort_key;

/// Which page: the first or the last so many rows between two cursors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// How many rows at most.
    pub limit: u32,
    /// Whether the rows nearest to the end are wanted.
    pub backward: bool,
    /// Only rows after this one.
    pub after: Option<String>,
    /// Only rows before this one.
    pub before: Option<String>,
}

impl PageRequest {
    /// The largest page.
    pub const MOST: u32 = 100;

    /// By the arguments of a Relay connection.
    ///
    /// # Errors
    /// When both or neither of `first` and `last` could be meant, or a size is out of 0 to 100.
    pub fn new(
        first: Option<i32>,
        last: Option<i32>,
        after: Option<String>,
        before: Option<String>,
    ) -> Result<Self> {
        let (size, field, backward) = match (first, last) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid(
                    "last",
                    Code::Invalid,
                    "Give first or last, not both.",
                ));
            }
            (None, Some(last)) => (last, "last", true),
            (Some(first), None) => (first, "first", false),
            (None, None) => (50, "first", false),
        };
        match u32::try_from(size) {
            Ok(limit) if limit <= Self::MOST => Ok(Self {
                limit,
                backward,
                after,
                before,
            }),
            _ => Err(Error::invalid(field, Code::Invalid, "A page has 0 to 100 rows.")),
        }
    }
}

/// One page, in the list's own order whichever way it was asked for.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Whether there are rows before these. Where that was not looked at: whether `after` was given.
    pub has_previous: bool,
    /// Whether there are rows after these. Where that was not looked at: whether `before` was given.
    pub has_next: bool,
}

/// A list's order: its key, and which end comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sorting {
    pub(crate) key: SortKey,
    pub(crate) descending: bool,
}

impl Sorting {
    /// Narrows and orders a query to one page and one row more.
    pub(crate) fn page<E: EntityTrait>(
        &self,
        mut select: Select<E>,
        request: &PageRequest,
    ) -> Result<Select<E>> {
        for (text, field, after) in [
            (&request.after, "after", true),
            (&request.before, "before", false),
        ] {
            let Some(text) = text else { continue };
            let cursor = Cursor::decode(text, &self.key).ok_or_else(|| {
                Error::invalid(field, Code::Invalid, "This cursor is not of this list and order.")
            })?;
            let comparison = if after == self.descending {
                self.key.less
            } else {
                self.key.greater
            };
            select = select.filter(Expr::cust_with_values(
                comparison,
                [sea_orm::Value::from(cursor.key), sea_orm::Value::from(cursor.id)],
            ));
        }
        let order = if self.descending == request.backward {
            Order::Asc
        } else {
            Order::Desc
        };
        let id = self.key.column.split('.').next().unwrap_or_default().to_owned() + ".id";
        Ok(select
            .order_by(Expr::cust(self.key.column), order.clone())
            .order_by(Expr::cust(id), order)
            .limit(u64::from(request.limit) + 1))
    }

    /// Makes the page of the rows that the query brought.
    pub(crate) fn finish<T>(request: &PageRequest, mut rows: Vec<T>) -> Page<T> {
        let limit = request.limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        if request.backward {
            rows.reverse();
            Page {
                items: rows,
                has_previous: more,
                has_next: request.before.is_some(),
            }
        } else {
            Page {
                items: rows,
                has_previous: request.after.is_some(),
                has_next: more,
            }
        }
    }

    /// The cursor of a row with that key.
    pub(crate) fn cursor(&self, key: String, id: Uuid) -> Cursor {
        Cursor {
            order: self.key.tag,
            key,
            id,
        }
    }
}

/// A time as cursors keep it, to the microsecond that Postgres keeps.
pub(crate) fn time_key(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(
        || "-infinity".to_owned(),
        |time| time.to_rfc3339_opts(SecondsFormat::Micros, true),
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const NAME: SortKey = sort_key!(1, "contact", "sort_name", text);
    const TIME: SortKey = sort_key!(2, "contact", "created_at", time);

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let cursor = Cursor {
            order: 1,
            key: "müller".to_owned(),
            id: Uuid::from_u128(7),
        };
        assert_eq!(Cursor::decode(&cursor.encode(), &NAME), Some(cursor));
    }

    #[test]
    fn another_orders_cursor_and_garbage_are_refused() {
        let cursor = Cursor {
            order: 1,
            key: "x".to_owned(),
            id: Uuid::nil(),
        };
        assert_eq!(Cursor::decode(&cursor.encode(), &TIME), None);
        let no_time = Cursor {
            order: 2,
            key: "x".to_owned(),
            id: Uuid::nil(),
        };
        assert_eq!(Cursor::decode(&no_time.encode(), &TIME), None);
        let no_year = Cursor {
            order: 2,
            key: "0000-01-01T00:00:00Z".to_owned(),
            id: Uuid::nil(),
        };
        assert_eq!(Cursor::decode(&no_year.encode(), &TIME), None);
        for text in ["", "a", "////", "AQ", &"A".repeat(1000)] {
            assert_eq!(Cursor::decode(text, &NAME), None, "{text}");
        }
    }

    #[test]
    fn a_page_is_bounded() {
        assert_eq!(PageRequest::new(None, None, None, None).unwrap().limit, 50);
        assert!(PageRequest::new(Some(101), None, None, None).is_err());
        assert!(PageRequest::new(Some(-1), None, None, None).is_err());
        assert!(PageRequest::new(Some(1), Some(1), None, None).is_err());
        assert!(PageRequest::new(None, Some(3), None, None).unwrap().backward);
    }
}
