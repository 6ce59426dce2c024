//! Users who have been idle for too long, by event time.
//!
//! As with lateness, a row decides by the greater of its stamp and the minimum at its place: where that is beyond the
//! time of its user, who he was is forgotten before it. So it does not matter whether the minimum got there first and he
//! was gone already. His open windows are not his state alone: they end as all do, and he stays until then.

use schemas::output::Emit;

use crate::{
    Fold, FoldError,
    user::{Open, User},
    views::window::Window,
};

impl Fold {
    /// Before a row of a user at `watermark`: forgets who he was, where that is too long ago.
    pub(crate) fn expire_before(
        &mut self,
        task: i32,
        user_id: &str,
        watermark: i64,
        out: &mut dyn Emit,
    ) -> Result<(), FoldError> {
        let Some(ttl_ms) = self.state.user_ttl_ms else { return Ok(()) };
        if self.idle(task, user_id, ttl_ms, watermark)?.is_none() {
            return Ok(());
        }
        // Rows of his may be pending.
        self.flush(out)?;
        let Some(user) = self.idle(task, user_id, ttl_ms, watermark)? else { return Ok(()) };
        let (views, of) = (&self.state.windows, &mut self.state.users[user as usize].windows);
        let open: Vec<Open> = of.extract_if(.., |open| views[usize::from(open.view)] != Window::Lifetime).collect();
        self.take_back(task, user_id, Some(user), out)?;
        let left = self.state.forget(&[user])?;
        self.state.left.extend(left);
        if !open.is_empty() {
            let user = self.state.user(task, user_id)?.ok_or(FoldError::NotAssigned(task))?;
            self.state.users[user as usize].windows = open;
            self.state.arm_windows(task, user);
        }
        Ok(())
    }

    /// A user whose newest row is too old at `watermark`.
    fn idle(&mut self, task: i32, user_id: &str, ttl_ms: i64, watermark: i64) -> Result<Option<u32>, FoldError> {
        let Some(user) = self.state.find(task, user_id)? else { return Ok(None) };
        let newest_ms = self.state.users[user as usize].newest_ms;
        Ok(Some(user).filter(|_| newest_ms.is_some_and(|newest_ms| newest_ms.saturating_add(ttl_ms) < watermark)))
    }

    /// Forgets the users of all tasks whose time the watermark has passed.
    pub(crate) fn expire(&mut self, out: &mut dyn Emit) -> Result<(), FoldError> {
        let Some(ttl_ms) = self.state.user_ttl_ms else { return Ok(()) };
        let list = self.state.windows.len();
        let tasks: Vec<(i32, i64)> = self.state.tasks.iter().map(|(task, of)| (*task, of.heard)).collect();
        for (task, watermark) in tasks {
            while let Some(end) = self.state.next_end(task, list).filter(|end| *end <= watermark) {
                let up_to = self.state.wake(task, list, end)?;
                let mut users = self.state.take_timers(task, list, end, up_to.as_deref());
                users.sort_by(|a, b| self.state.users[*a as usize].id.cmp(&self.state.users[*b as usize].id));
                let mut gone = Vec::new();
                for user in users {
                    let until = self.idle_until(user, ttl_ms);
                    if until <= watermark {
                        let user_id = self.state.users[user as usize].id.clone();
                        self.take_back(task, &user_id, Some(user), out)?;
                        gone.push(user);
                    } else {
                        self.state.arm(task, list, until, user);
                    }
                }
                let left = self.state.forget(&gone)?;
                self.state.left.extend(left);
                if up_to.is_some() {
                    self.state.evict()?;
                }
            }
        }
        Ok(())
    }

    /// The watermark at which nothing holds a user any more.
    fn idle_until(&self, user: u32, ttl_ms: i64) -> i64 {
        let user: &User = &self.state.users[user as usize];
        let last_end = |open: &Open| match self.state.windows[usize::from(open.view)] {
            Window::Fixed(fixed) => fixed.last_end(open.start),
            Window::Session { .. } => open.end.saturating_add(1),
            _ => i64::MIN,
        };
        let windows = user.windows.iter().map(last_end).max();
        user.idle_end(&self.state.store, ttl_ms).max(windows.unwrap_or(i64::MIN))
    }
}
