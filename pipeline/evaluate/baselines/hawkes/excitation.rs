//! What of a user's past still excites him.

use crate::evaluate::Past;

/// Excitations of all users, each after one of his events.
#[derive(Clone, Debug, Default)]
pub struct Excitations {
    rates: Vec<f64>,
    kinds: usize,
    /// By user.
    users: Vec<Excited>,
}

/// X_dj = Σ over the user's events of type j of exp(−b_d · age), as `[rate][kind]`, after the first `events` of them.
#[derive(Clone, Debug, Default)]
struct Excited {
    events: usize,
    excitation: Vec<f64>,
}

impl Excitations {
    /// Nobody is excited yet; `rates` in 1 / unit.
    pub fn new(past: Past<'_>, rates: &[f64]) -> Self {
        Self { rates: rates.to_vec(), kinds: past.kinds(), users: vec![Excited::default(); past.users()] }
    }

    /// The excitation of a user right after his event at `position`, `[rate][kind]`. It goes on from where it stood;
    /// for a place already passed it starts anew.
    pub fn after(&mut self, past: Past<'_>, position: usize) -> &[f64] {
        let Excited { events, excitation } = &mut self.users[past.event(position).user as usize];
        let history = past.history(position);
        if *events > history.len() || *events == 0 {
            *events = 0;
            excitation.clear();
            excitation.resize(self.rates.len() * self.kinds, 0.0);
        }
        for position in &history[*events..] {
            let position = *position as usize;
            let (kind, gap) = (past.event(position).kind as usize, past.gap_ms(position) as f64 / past.unit_ms());
            for (row, rate) in excitation.chunks_mut(self.kinds).zip(&self.rates) {
                let decay = (-rate * gap).exp();
                row.iter_mut().for_each(|x| *x *= decay);
                row[kind] += 1.0;
            }
        }
        *events = history.len();
        excitation
    }
}
