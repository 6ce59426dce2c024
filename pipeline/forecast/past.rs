//! A user's newest rows as they were before the last of his rows arrived.

/// No row, or no place.
const NONE: u32 = u32::MAX;

/// Of a history as it was after so many of `arrived`, the newest rows, so many at most: for each pair of `asked`, which ascend.
///
/// `rows` are by time, then arrival, and end with the newest that there is now; what has left since is among them. It takes
/// steps for each row, for each that is given, and a sort of those that arrived: not for each of them a pass over all.
pub fn newest_then(rows: &[u32], arrived: &[u32], asked: &[(usize, usize)], mut each: impl FnMut(&[u32])) {
    let mut list = List::of(rows.len());
    let places = places(rows, arrived);
    let (mut there, mut given, mut ends) = (arrived.len(), Vec::new(), Vec::new());
    // From the last one back: a row that had not arrived yet is taken out of the list, and none ever comes back.
    for &(count, most) in asked.iter().rev() {
        while there > count {
            there -= 1;
            list.take_out(places[there]);
        }
        given.extend(list.newest().take(most).map(|place| rows[place as usize]));
        ends.push(given.len());
    }
    for at in (0..ends.len()).rev() {
        let newest = &mut given[at.checked_sub(1).map_or(0, |before| ends[before])..ends[at]];
        newest.reverse();
        each(newest);
    }
}

/// Where each of `arrived` stands in `rows`.
fn places(rows: &[u32], arrived: &[u32]) -> Vec<u32> {
    let mut by_row: Vec<(u32, u32)> = arrived.iter().copied().zip(0..).collect();
    by_row.sort_unstable();
    let mut places = vec![NONE; arrived.len()];
    for (place, row) in (0..).zip(rows) {
        if let Ok(at) = by_row.binary_search_by_key(row, |(row, _)| *row) {
            places[by_row[at].1 as usize] = place;
        }
    }
    places
}

/// Places in order, of which some are taken out.
struct List {
    before: Vec<u32>,
    after: Vec<u32>,
    last: u32,
}

impl List {
    fn of(places: usize) -> Self {
        let places = places as u32;
        let before = (0..places).map(|place| place.checked_sub(1).unwrap_or(NONE)).collect();
        let after = (1..=places).map(|place| if place < places { place } else { NONE }).collect();
        Self { before, after, last: places.checked_sub(1).unwrap_or(NONE) }
    }

    fn take_out(&mut self, place: u32) {
        if place == NONE {
            return;
        }
        let (before, after) = (self.before[place as usize], self.after[place as usize]);
        match self.before.get_mut(after as usize) {
            Some(link) => *link = before,
            None => self.last = before,
        }
        if let Some(link) = self.after.get_mut(before as usize) {
            *link = after;
        }
    }

    /// What is left, from the last one back.
    fn newest(&self) -> impl Iterator<Item = u32> {
        let next = |place: &u32| Some(self.before[*place as usize]).filter(|place| *place != NONE);
        std::iter::successors(Some(self.last).filter(|place| *place != NONE), next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, each by itself.
    fn naive(rows: &[u32], arrived: &[u32], (count, most): (usize, usize)) -> Vec<u32> {
        let rows: Vec<u32> = rows.iter().filter(|row| !arrived[count..].contains(row)).copied().collect();
        rows[rows.len().saturating_sub(most)..].to_vec()
    }

    proptest! {
        #[test]
        fn each_is_what_it_was(
            keys in prop::collection::vec(any::<u64>(), 0..40),
            new in 0_usize..30,
            gone in 0_usize..4,
            most in prop::collection::vec(0_usize..12, 31),
            every in 1_usize..4,
        ) {
            // Rows in an order of their own, of which the last so many arrived; some that arrived are kept nowhere.
            let mut rows: Vec<u32> = (0..keys.len() as u32).collect();
            rows.sort_by_key(|row| keys[*row as usize]);
            let new = new.min(rows.len());
            let mut arrived: Vec<u32> = (rows.len() - new..rows.len()).map(|row| row as u32).collect();
            arrived.extend((0..gone as u32).map(|row| 1000 + row));
            let counts = (0..=arrived.len()).rev().step_by(every).collect::<Vec<_>>().into_iter().rev();
            let asked: Vec<(usize, usize)> = counts.map(|count| (count, most[count % most.len()])).collect();
            let mut given = Vec::new();
            newest_then(&rows, &arrived, &asked, |newest| given.push(newest.to_vec()));
            let wanted: Vec<Vec<u32>> = asked.iter().map(|asked| naive(&rows, &arrived, *asked)).collect();
            prop_assert_eq!(given, wanted);
        }
    }
}
