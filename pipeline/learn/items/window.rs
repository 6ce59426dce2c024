//! The newest behaviors, each with those before it.

use std::collections::VecDeque;

use shaders::co_occurrence::WINDOW;

/// Passages: stretches of histories, of which the last behaviors count and the others only stand before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Items, passage after passage.
    items: VecDeque<u32>,
    /// By passage: how many behaviors it has, and how many of them count.
    lengths: VecDeque<(u32, u32)>,
    /// Behaviors that count.
    events: usize,
}

impl Window {
    /// What [`Window::parts`] gave; none where it is something else.
    pub fn of(items: Vec<u32>, lengths: &[u32]) -> Option<Self> {
        let (pairs, rest) = lengths.as_chunks::<2>();
        let lengths: VecDeque<(u32, u32)> = pairs.iter().map(|&[length, counts]| (length, counts)).collect();
        let total = lengths.iter().try_fold(0_u64, |sum, &(length, counts)| {
            (1..=length).contains(&counts).then_some(sum + u64::from(length))
        });
        let events = lengths.iter().map(|(_, counts)| *counts as usize).sum();
        (rest.is_empty() && total == Some(items.len() as u64)).then(|| Self { items: items.into(), lengths, events })
    }

    /// Items, and by passage how many behaviors it has and how many of them count.
    pub fn parts(&self) -> (Vec<u32>, Vec<u32>) {
        let lengths = self.lengths.iter().flat_map(|&(length, counts)| [length, counts]).collect();
        (self.items.iter().copied().collect(), lengths)
    }

    /// Behaviors that count.
    pub fn events(&self) -> usize {
        self.events
    }

    /// All items of it, as often as they are there.
    pub fn items(&self) -> impl Iterator<Item = u32> {
        self.items.iter().copied()
    }

    /// Appends a passage, of which the last `counts` behaviors count.
    pub fn push(&mut self, items: impl ExactSizeIterator<Item = u32>, counts: usize) {
        debug_assert!((1..=items.len()).contains(&counts));
        self.lengths.push_back((items.len() as u32, counts as u32));
        self.items.extend(items);
        self.events += counts;
    }

    /// Lets the oldest behaviors go, until at most `most` count.
    pub fn cut(&mut self, most: usize) {
        while self.events > most {
            let (length, counts) = self.lengths.front_mut().expect("behaviors stand in passages");
            let gone = (*counts as usize).min(self.events - most);
            self.events -= gone;
            *counts -= gone as u32;
            let kept = if *counts == 0 { 0 } else { (*counts as usize + WINDOW).min(*length as usize) };
            self.items.drain(..*length as usize - kept);
            *length = kept as u32;
            if kept == 0 {
                self.lengths.pop_front();
            }
        }
    }

    /// Gives items other numbers.
    pub fn renumber(&mut self, numbers: &[u32]) {
        self.items.iter_mut().for_each(|item| *item = numbers[*item as usize]);
    }

    /// Gives each behavior that counts, and those before it, newest first, to `take`.
    pub fn each(&self, mut take: impl FnMut(u32, &mut dyn Iterator<Item = u32>)) {
        let mut start = 0;
        for &(length, counts) in &self.lengths {
            let end = start + length as usize;
            for at in end - counts as usize..end {
                let before = self.items.range(start.max(at.saturating_sub(WINDOW))..at);
                take(self.items[at], &mut before.rev().copied());
            }
            start = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(window: &Window) -> Vec<(u32, Vec<u32>)> {
        let mut all = Vec::new();
        window.each(|item, before| all.push((item, before.collect())));
        all
    }

    #[test]
    fn behaviors_stand_before_others_of_their_passage_and_the_oldest_go() {
        let mut window = Window::default();
        window.push([1, 2, 3].into_iter(), 1);
        window.push((10..20).collect::<Vec<_>>().into_iter(), 4);
        let all = [
            (3, vec![2, 1]),
            (16, vec![15, 14, 13, 12, 11]),
            (17, vec![16, 15, 14, 13, 12]),
            (18, vec![17, 16, 15, 14, 13]),
            (19, vec![18, 17, 16, 15, 14]),
        ];
        for most in (1..=5).rev() {
            window.cut(most);
            assert_eq!((window.events(), pairs(&window)), (most, all[5 - most..].to_vec()));
            let (items, lengths) = window.parts();
            assert_eq!(Window::of(items.clone(), &lengths).unwrap(), window);
            assert_eq!(Window::of(items, &lengths[1..]), None);
        }
        assert_eq!(window.items().count(), 1 + WINDOW, "what nobody needs is gone");
    }
}
