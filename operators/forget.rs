//! A user who is to be forgotten: his state goes, and what readers see of him is taken back.

use schemas::output::Emit;
use xxhash_rust::xxh3::xxh3_64;

use crate::{Arrival, Fold, FoldError, Left, cold::ColdError, state::State, views::newest::take_back};

impl Fold {
    /// Forgets a user: folds what is pending, then drops all that is kept of him; of every view with one value per user
    /// a record without a value is emitted, known or not. Returns the slot that was his, where he was known.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn forget(&mut self, task: i32, user_id: &str, out: &mut dyn Emit) -> Result<Option<u32>, FoldError> {
        self.flush(out)?;
        let user = self.state.find(task, user_id)?;
        self.take_back(task, user_id, user, out)?;
        if let Some(user) = user {
            self.state.forget(&[user])?;
            self.state.task(task).forgets = true;
        }
        Ok(user)
    }

    /// Takes back what readers see of a user.
    pub(crate) fn take_back(
        &self,
        task: i32,
        user_id: &str,
        user: Option<u32>,
        out: &mut dyn Emit,
    ) -> Result<(), FoldError> {
        for view in self.views.list.iter().filter(|view| view.window.is_latest_value()) {
            take_back(view, &self.state, task, user_id, user, out)
                .map_err(|error| FoldError::View { view: view.name.clone(), error: Box::new(error) })?;
        }
        Ok(())
    }
}

impl State {
    /// Drops all that is kept of users, in the cold store too; nothing of them is pending.
    pub(crate) fn forget(&mut self, users: &[u32]) -> Result<Vec<Left>, ColdError> {
        let left = self.remove(users);
        self.counters.users -= left.len() as u64;
        for Left { task: at, user_id, .. } in &left {
            let task = self.tasks.get_mut(at).expect("users are dropped with their task");
            let user_id = user_id.as_deref().expect("who is removed has an id");
            task.users -= 1;
            task.gone.push(user_id.into());
            if self.keeps_order {
                self.arrivals.push(Arrival { task: *at, user: xxh3_64(user_id.as_bytes()), row: None });
            }
            if let Some(cold) = self.cold.as_mut().filter(|_| task.has_cold) {
                cold.forget(*at, user_id)?;
            }
        }
        Ok(left)
    }
}
