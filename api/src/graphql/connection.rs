//! Relay connections (GraphQL Cursor Connections Specification): forward and backward by keyset cursors.

use async_graphql::SimpleObject;

/// Where a page stands in its list.
#[derive(SimpleObject, Clone)]
pub(crate) struct PageInfo {
    /// The cursor of the first edge; null on an empty page.
    /// Scope: any.
    pub(crate) start_cursor: Option<String>,
    /// The cursor of the last edge; null on an empty page.
    /// Scope: any.
    pub(crate) end_cursor: Option<String>,
    /// Whether there are edges before these. When paging forward: whether `after` was given.
    /// Scope: any.
    pub(crate) has_previous_page: bool,
    /// Whether there are edges after these. When paging backward: whether `before` was given.
    /// Scope: any.
    pub(crate) has_next_page: bool,
}

/// The three types of a list: connection, edge and, by the closure given to `new`, the total. What guards them
/// (see [`super::scope`]) and how they say so comes first.
macro_rules! connection {
    ($guard:expr, $says:literal, $(#[$about:meta])* $connection:ident, $edge:ident, $node:ty, $count:ty) => {
        $(#[$about])*
        pub(crate) struct $connection {
            edges: Vec<$edge>,
            page_info: $crate::graphql::connection::PageInfo,
            count: $count,
        }

        /// One entry of a list, with its place.
        #[derive(async_graphql::SimpleObject, Clone)]
        #[graphql(guard = $guard)]
        pub(crate) struct $edge {
            /// The place of this entry, for `after` and `before`.
            #[doc = concat!($says)]
            cursor: String,
            /// The entry.
            #[doc = concat!($says)]
            node: $node,
        }

        impl $connection {
            pub(crate) fn new(
                entries: Vec<(impl Into<String>, $node)>,
                has_previous_page: bool,
                has_next_page: bool,
                count: $count,
            ) -> Self {
                let edges: Vec<$edge> =
                    entries.into_iter().map(|(cursor, node)| $edge { cursor: cursor.into(), node }).collect();
                let page_info = $crate::graphql::connection::PageInfo {
                    start_cursor: edges.first().map(|edge| edge.cursor.clone()),
                    end_cursor: edges.last().map(|edge| edge.cursor.clone()),
                    has_previous_page,
                    has_next_page,
                };
                Self { edges, page_info, count }
            }
        }

        $(#[$about])*
        #[async_graphql::Object(guard = $guard)]
        impl $connection {
            /// The entries of this page with their places.
            #[doc = concat!($says)]
            async fn edges(&self) -> &[$edge] {
                &self.edges
            }
            /// The entries of this page.
            #[doc = concat!($says)]
            async fn nodes(&self) -> Vec<$node> {
                self.edges.iter().map(|edge| edge.node.clone()).collect()
            }
            /// Where this page stands in the list.
            #[doc = concat!($says)]
            async fn page_info(&self) -> &$crate::graphql::connection::PageInfo {
                &self.page_info
            }
            /// How many entries the whole list has. Counted only when asked for.
            #[doc = concat!($says)]
            async fn total_count(&self) -> async_graphql::Result<i32> {
                let count = self.count.count().await.map_err($crate::graphql::error::top_level)?;
                Ok(i32::try_from(count).unwrap_or(i32::MAX))
            }
        }
    };
}
pub(crate) use connection;
