//! A page of the list: as many actions as were asked for, or as are not too much to hold
//! (clause `LIM-7`).

use jobhook_engine::action::Action;
use jobhook_engine::store::{ActionQuery, Store, StoreError};

/// A page with so many bytes of arguments, results and details is full.
const FULL: usize = 4 << 20;

/// Actions, newest first.
#[derive(Debug)]
pub(super) struct ActionPage {
    pub(super) actions: Vec<Action>,
    /// Whether others follow.
    pub(super) more: bool,
}

impl ActionPage {
    /// Reads the page of `query`, whose limit is that of the page.
    pub(super) async fn read(
        store: &dyn Store,
        query: ActionQuery,
    ) -> Result<ActionPage, StoreError> {
        let limit = query.limit;
        // One more than the page has tells that others follow: the last, by number or by weight.
        let mut actions = store
            .list(&ActionQuery {
                limit: limit + 1,
                weight: Some(FULL),
                ..query
            })
            .await?;
        let before_last = actions.iter().rev().skip(1).map(Action::weight);
        let more = actions.len() > limit || before_last.sum::<usize>() >= FULL;
        if more {
            actions.pop();
        }
        Ok(ActionPage { actions, more })
    }
}

#[cfg(test)]
mod tests {
    use jobhook_engine::action::NewAction;
    use jobhook_engine::log::LogLimits;
    use jobhook_engine::memory::MemoryStore;
    use jobhook_engine::testing::factory::{NOW, echo};
    use jobhook_engine::write::Write;
    use jobhook_protocol::Json;

    use super::*;

    /// Reads all pages; gives the sizes of the pages.
    async fn pages(sizes: &[usize], limit: usize) -> Vec<usize> {
        let store = MemoryStore::new(LogLimits::default());
        let insert = |size: &usize| {
            let text = format!("\"{}\"", "x".repeat(*size));
            Write::Insert(Box::new(NewAction {
                arguments: Json::from_text(text).ok(),
                ..echo()
            }))
        };
        let writes: Vec<Write> = sizes.iter().map(insert).collect();
        store.apply(&writes, NOW).await.unwrap();
        let mut query = ActionQuery {
            limit,
            ..ActionQuery::default()
        };
        let (mut counts, mut seen) = (Vec::new(), Vec::new());
        loop {
            let page = ActionPage::read(&store, query.clone()).await.unwrap();
            counts.push(page.actions.len());
            seen.extend(page.actions.iter().map(|action| action.id));
            query.before = seen.last().copied();
            if !page.more {
                break;
            }
        }
        let mut newest_first = seen.clone();
        newest_first.sort_unstable_by(|one, other| other.cmp(one));
        newest_first.dedup();
        assert_eq!((seen.len(), &newest_first), (sizes.len(), &seen));
        counts
    }

    #[tokio::test]
    async fn a_page_has_as_many_as_were_asked_for_where_they_are_small() {
        assert_eq!(pages(&[10; 250], 100).await, [100, 100, 50]);
        assert_eq!(pages(&[10; 200], 100).await, [100, 100]);
        assert_eq!(pages(&[], 100).await, [0]);
        assert_eq!(pages(&[10; 3], 1).await, [1, 1, 1]);
    }

    #[tokio::test]
    async fn a_page_of_large_ones_is_short_and_the_next_goes_on_after_it() {
        assert_eq!(pages(&[1 << 20; 10], 100).await, [4, 4, 2]);
        assert_eq!(pages(&[9 << 20; 3], 100).await, [1, 1, 1]);
        let mixed = [&[10; 40][..], &[1 << 20; 6], &[10; 40]].concat();
        let counts = pages(&mixed, 1000).await;
        // Forty small ones and four large ones, and then the rest.
        assert_eq!(counts, [44, 42]);
    }
}
