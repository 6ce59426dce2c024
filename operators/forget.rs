//! A user who is to be forgotten: his state goes, and what readers see of him is taken back.

use schemas::output::Emit;

use crate::{Fold, FoldError, state::State, views::newest::take_back};

impl Fold {
    /// Forgets a user: folds what is pending, then drops all that is kept of him; of every view with one value per user
    /// a record without a value is emitted, known or not. Returns the slot that was his, where he was known.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn forget(&mut self, task: i32, user_id: &str, out: &mut dyn Emit) -> Result<Option<u32>, FoldError> {
        self.flush(out)?;
        let user = self.state.find(task, user_id);
        for view in self.views.list.iter().filter(|view| view.window.is_latest_value()) {
            take_back(view, &self.state, task, user_id, user, out)
                .map_err(|error| FoldError::View { view: view.name.clone(), error: Box::new(error) })?;
        }
        if let Some(user) = user {
            self.state.forget(user);
        }
        Ok(user)
    }
}

impl State {
    /// Drops all that is kept of a user; nothing of him is pending.
    fn forget(&mut self, user: u32) {
        let dropped = std::mem::take(&mut self.users[user as usize]);
        self.store.forget(dropped.history.iter().chain(&dropped.items));
        self.touched.retain(|touched| touched.user != user);
        for (at, touched) in self.touched.iter().enumerate() {
            self.users[touched.user as usize].touched = at as u32 + 1;
        }
        self.due.retain(|&due| due != user);
        let task = self.tasks.get_mut(&dropped.task).expect("users are dropped with their task");
        task.remove(user, &dropped.id);
        task.changed.retain(|&changed| changed != user);
        task.gone.push(dropped.id);
        self.free_users.push(user);
        // Which slot the next one gets is the same however the work is cut.
        self.free_users.sort_unstable_by(|a, b| b.cmp(a));
        self.counters.users -= 1;
    }
}
