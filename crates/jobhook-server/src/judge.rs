//! What operations promise, as the engine asks for it (clauses `OP-10`, `OP-13`, `OP-16`).

use std::sync::Arc;

use async_trait::async_trait;
use jobhook_engine::action::Action;
use jobhook_engine::judge::Judge;

use crate::aside;
use crate::operations::Catalogue;

/// Judges actions by the operations that the server knows now.
#[derive(Debug)]
pub struct OperationJudge(Arc<Catalogue>);

impl OperationJudge {
    /// Judges by these operations.
    pub fn new(catalogue: Arc<Catalogue>) -> OperationJudge {
        OperationJudge(catalogue)
    }
}

#[async_trait]
impl Judge for OperationJudge {
    /// What was launched by name was judged then, and is not again; a schedule may have been put
    /// by the rules of long ago.
    async fn may_start(&self, action: &Action) -> Result<(), String> {
        let id = &action.action_type;
        if !action.operation && self.0.get(id).is_some() {
            return Err(format!(
                "`{id}` was launched as a plain action, and is an operation here: launch it with `operationId` and `input`"
            ));
        }
        if !action.operation || action.schedule.is_none() {
            return Ok(());
        }
        let (catalogue, id) = (Arc::clone(&self.0), id.clone());
        let input = action.arguments.clone();
        let size = input.as_ref().map_or(0, |input| input.as_str().len());
        let judged = aside::heavy(size, move || {
            catalogue.check_launch(&id, true, input.as_ref())
        });
        judged.await.unwrap_or_else(|error| {
            tracing::error!(action.id = %action.id, %error, "An input could not be judged");
            Err("its input could not be judged".to_owned())
        })
    }

    fn needs_results(&self, action: &Action) -> bool {
        action.operation && self.0.needs_results(&action.action_type)
    }
}

#[cfg(test)]
mod tests {
    use jobhook_engine::testing::factory::taken;
    use jobhook_protocol::Json;
    use jobhook_protocol::operation::Definitions;

    use super::*;

    #[tokio::test]
    async fn what_a_schedule_launches_is_judged_by_the_rules_of_today() {
        let definitions: Definitions = serde_json::from_value(serde_json::json!({
            "operations": {"Count": {"id": "Count", "input": "text"}},
            "schemas": {"text": {"type": "string"}},
        }))
        .unwrap();
        let mut catalogue = Catalogue::default();
        catalogue.add(definitions, "this test").unwrap();
        let judge = OperationJudge::new(Arc::new(catalogue));
        let mut action = taken("Count");
        action.operation = true;
        action.schedule = Some("nightly".to_owned());
        action.arguments = Json::from_text("\"words\"".to_owned()).ok();
        assert_eq!(judge.may_start(&action).await, Ok(()));
        action.arguments = Json::from_text("7".to_owned()).ok();
        let refused = judge.may_start(&action).await.unwrap_err();
        assert!(refused.contains("the input of `Count`"), "{refused}");
        action.action_type = "Gone".to_owned();
        let refused = judge.may_start(&action).await.unwrap_err();
        assert!(refused.contains("no operation `Gone`"), "{refused}");
    }
}
