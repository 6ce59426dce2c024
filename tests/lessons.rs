//! What is learned: a function of its samples, whoever learned it, however often he was killed.

use std::sync::Arc;
use std::time::Duration;

use pipeline::config::{Attention, Config, VectorSource};
use pipeline::encode::learned::vectors_of;
use pipeline::encode::passages::Passages;
use pipeline::forecast::version::About;
use pipeline::learn::LearnError;
use pipeline::learn::ranking::Ranking;
use pipeline::learn::study::{Published, Study};
use pipeline::log::embedded::{Embedded, EmbeddedSettings};
use pipeline::log::{Broker, Incoming, TopicSpec};
use pipeline::metrics::Metrics;
use pipeline::model::{self, Model};
use pipeline::rank::sight::Sight;
use pipeline::rank::version::{About as Ranked, Rows, Version};
use pipeline::roles::{self, Group, Patience, Shared};
use schemas::output::Room;
use schemas::packed::{self, Header};
use schemas::sample::Samples;
use schemas::topics::Topics;
use serde_json::{Value, json};
use shaders::Device;
use shaders::ops::tensors::{Entry, Named};
use shaders::prompt_tpp::{Config as Network, Model as Fitted};
use shaders::ranking::{self, Long};

use crate::simulation::views;
use crate::streams::Dice;

/// More steps than any learner here needs.
const STEPS_MAX: usize = 100_000;

/// Version 1, which nobody has learned, in force from the beginning of every partition.
pub fn give_a_version(broker: &Embedded, topics: &Topics, partitions: u32) {
    let config = Network { types: 3, unit_ms: 5_000.0, ..Network::default() };
    let tensors = Fitted::new(&Device::Cpu, config, 7).unwrap().weights();
    let about = About { types: vec!["click".into(), "view".into()], unit_ms: 5_000.0, ..About::default() };
    let about = serde_json::to_value(about).unwrap();
    let model = Model { name: "prompt_tpp".into(), version: 1, about, tensors };
    let append = |key: &[u8], value: &[u8]| broker.append(&topics.models(), 0, None, Some(key), Some(value)).map(drop);
    model.records(append).unwrap();
    let header = Header { versions: [("prompt_tpp".to_string(), 1)].into(), ..Header::default() };
    let mut record = Vec::new();
    packed::write(&header, None, &mut record).unwrap();
    for partition in 0..partitions as i32 {
        broker.append(&topics.by_user(), partition, None, None, Some(&record)).unwrap();
    }
}

/// What learners of a room have left: all samples, and the newest versions on topics `models` and `learners`.
pub struct Learned {
    room: Room,
    samples: Vec<Vec<u8>>,
    versions: [Option<Model>; 2],
}

impl Learned {
    pub fn read(broker: &dyn Broker, topics: &Topics, room: Room) -> Self {
        let newest = |topic: String| model::read(broker, &topic, room.name()).unwrap();
        let (mut samples, topic) = (Vec::new(), topics.samples(room));
        let mut reader = broker.reader(std::slice::from_ref(&topic)).unwrap();
        let mut take = |record: Incoming<'_>| samples.push(record.value.unwrap().to_vec());
        model::read_all(reader.as_mut(), &topic, &mut take).unwrap();
        Self { room, samples, versions: [newest(topics.models()), newest(topics.learners())] }
    }

    /// Whether the newest version is, bit for bit where it is the same device, what one learner makes of the same samples who
    /// is never disturbed; gives its number.
    pub fn check(&self, topics: &Topics, config: &Config, same_device: bool) -> Result<u64, String> {
        let samples: Vec<_> = self.samples.iter().map(|sample| (None, sample.clone())).collect();
        let want = learn(self.room, &samples, topics, config, usize::MAX)?;
        for (got, want) in self.versions.iter().zip(&want.versions) {
            // Offsets are others here: there are no markers of transactions between the samples.
            let key = |model: &Model| (model.version, model.about["targets"].as_u64().unwrap());
            let (got_key, want_key) = (got.as_ref().map(key), want.as_ref().map(key));
            if got_key != want_key {
                let room = self.room.name();
                return Err(format!("{room}: {got_key:?} (version, targets) was learned instead of {want_key:?}"));
            }
            if same_device && got.as_ref().map(|got| &got.tensors) != want.as_ref().map(|want| &want.tensors) {
                let differ = differences(got.as_ref(), want.as_ref());
                let room = self.room.name();
                return Err(format!("{room}: {got_key:?} has other bits than one learned without faults: {differ:?}"));
            }
        }
        // SDIM's first version is its hash alone.
        let before = u64::from(self.room == Room::Sdim);
        Ok(want.versions[0].as_ref().map_or(0, |model| model.version - before))
    }
}

/// Names of the tensors that differ.
fn differences<'a>(got: Option<&'a Model>, want: Option<&'a Model>) -> Vec<&'a str> {
    let tensors = |model: Option<&'a Model>| model.into_iter().flat_map(|model| &model.tensors);
    let differs = |(name, entry): &(&String, &Entry)| !tensors(want).any(|(of, other)| of == *name && other == *entry);
    tensors(got).filter(differs).map(|(name, _)| name.as_str()).collect()
}

/// A learner in a world of its own, with these records of samples and their times (ms); every `killed_every` steps he is killed,
/// and another one goes on.
fn learn(
    room: Room,
    samples: &[(Option<i64>, Vec<u8>)],
    topics: &Topics,
    config: &Config,
    killed_every: usize,
) -> Result<Learned, String> {
    let calm = Embedded::new(EmbeddedSettings { trims: false, wait_max: Duration::ZERO, ..Default::default() });
    let spec = |name: String| TopicSpec { name, partitions: 1, settings: Vec::new() };
    let compacted = |name| TopicSpec { settings: vec![("cleanup.policy".into(), "compact".into())], ..spec(name) };
    let topic = topics.samples(room);
    calm.create(&[compacted(topics.models()), compacted(topics.learners())]).unwrap();
    calm.create(&[spec(topic.clone()), spec(topics.by_user())]).unwrap();
    for output in topics.outputs(&roles::said(config)) {
        calm.create(&[spec(topics.name(output))]).unwrap();
    }
    for (time_ms, sample) in samples {
        calm.append(&topic, 0, *time_ms, None, Some(sample)).unwrap();
    }
    let shared = Shared {
        config: Arc::new(config.clone()),
        by_user_partitions: 1,
        views: views(),
        topics: topics.clone(),
        one_router: false,
        rooms: None,
        metrics: Metrics::new(),
        archive: None,
        patience: Patience { idle_poll: Duration::ZERO, ..Patience::default() },
        cold: None,
        ended: Arc::default(),
        learned: Arc::default(),
        limits: Arc::default(),
    };
    let (mut member, mut learner) = roles::learner(&shared, &calm, room).map_err(|error| error.to_string())?;
    let (mut clock, mut quiet) = (Duration::ZERO, 0);
    for step in 1..STEPS_MAX {
        if step % killed_every == 0 {
            calm.expire(&roles::group(config, Group::Learner(room)), &member);
            calm.expire_transaction(&member);
            (member, learner) = roles::learner(&shared, &calm, room).map_err(|error| error.to_string())?;
        }
        clock += Duration::from_millis(110);
        learner.step(clock, &|| clock).map_err(|error| format!("the calm learner: {error}"))?;
        let learned = shared.learned.next(room);
        quiet = if calm.is_read_to(&topic, 0, learned).unwrap() { quiet + 1 } else { 0 };
        if quiet == 20 {
            return Ok(Learned::read(&calm, topics, room));
        }
    }
    Err(format!("the calm learner did not come to the end of {} records of samples", samples.len()))
}

/// A record of one window of a user whose types follow each other.
fn record(user: u64, names: &[&str], events: u16) -> Vec<u8> {
    let names = names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let mut samples = Samples { names, ..Samples::default() };
    let kinds = samples.names.len() as u16;
    samples.types.extend((0..events).map(|at| at % kinds));
    samples.times_ms.extend((0..i64::from(events)).map(|at| at * 5_000 + user as i64));
    samples.end(user, 1);
    let mut bytes = Vec::new();
    samples.write(&mut bytes).unwrap();
    bytes
}

/// A learner that makes a version of every few windows.
fn hasty(lag_max_ms: u64) -> Config {
    let mut config = Config::default();
    config.prompt_tpp.enabled = true;
    (config.prompt_tpp.warm_up_events, config.prompt_tpp.warm_up_passes) = (20, 1);
    (config.prompt_tpp.batch_samples, config.prompt_tpp.version_steps) = (2, 1);
    (config.prompt_tpp.version_interval_ms, config.prompt_tpp.lag_max_ms) = (0, lag_max_ms);
    config
}

const HOUR_MS: i64 = 3_600_000;

fn calmly(samples: &[(Option<i64>, Vec<u8>)], config: &Config) -> Learned {
    learn(Room::PromptTpp, samples, &Topics::new("lessons", "", Vec::new()), config, usize::MAX).unwrap()
}

#[test]
fn a_learner_that_is_too_far_behind_passes_over_what_is_old_and_says_so() {
    let now_ms = pipeline::metrics::now_ms();
    let at = |time_ms: i64, users: std::ops::Range<u64>| {
        users.map(move |user| (Some(time_ms), record(user, &["click", "view"], 11))).collect::<Vec<_>>()
    };
    // The first two make the first version, an hour late; the next four are as old; the last four come in time.
    let samples = [at(now_ms - HOUR_MS, 0..2), at(now_ms - HOUR_MS, 2..6), at(now_ms + HOUR_MS, 6..10)].concat();
    let targets = |lag_max_ms: u64| {
        let learned = calmly(&samples, &hasty(lag_max_ms));
        let newest = About::of(learned.versions[0].as_ref().unwrap()).unwrap();
        (newest.targets, newest.progress.skip_until_ms)
    };
    let (passed, skip_until_ms) = targets(60_000);
    assert_eq!(passed, 2 * 10 + 4 * 10, "the four old ones were passed over");
    assert!(skip_until_ms.is_some_and(|until| until >= now_ms), "the version says since when: {skip_until_ms:?}");
    assert_eq!(targets(2 * HOUR_MS as u64), (10 * 10, None), "nothing is passed over by one who is patient");
}

#[test]
fn types_that_come_later_are_learned_too() {
    let two = (0..4).map(|user| (None, record(user, &["click", "view"], 11)));
    let three = (4..8).map(|user| (None, record(user, &["view", "buy", "click"], 11)));
    let learned = calmly(&two.chain(three).collect::<Vec<_>>(), &hasty(HOUR_MS as u64));
    let [published, kept] = learned.versions.map(Option::unwrap);
    assert_eq!(
        About::of(&published).unwrap().types,
        ["click", "view", "buy"],
        "places are given in the order of the log"
    );
    let network = Fitted::from_weights(&Device::Cpu, Network::default(), published.tensors, 1).unwrap();
    assert_eq!(network.config().types, 1 + 3, "place 0 is for types without a name of their own");
    let goes_on = Fitted::load(&Device::Cpu, Network::default(), kept.tensors).unwrap();
    assert_eq!(goes_on.config().types, network.config().types, "and the learner's own state has grown with it");
}

/// A sample of some items of one kind of user.
fn sample(config: &Config, room: Room, n: u64, items: &[u64]) -> (Option<i64>, Vec<u8>) {
    let (dim, width) = (config.sdim.dim, roles::rank(config).look.inputs().len());
    let mut dice = Dice(n);
    let mut keys = |count: usize| (0..count * dim).map(|_| dice.below(255) as i8).collect::<Vec<i8>>();
    let sight = Sight {
        dim: dim as u32,
        width: width as u32,
        item_ids: items.iter().map(|item| format!("i{item}")).collect(),
        categories: items.iter().map(|item| format!("c{}", item % 2)).collect(),
        candidate_keys: keys(items.len()),
        inputs: (0..items.len() * width).map(|at| (n as usize + at) as f32).collect(),
        reads: if room == Room::Sdim { vec![0.1; items.len() * dim] } else { Vec::new() },
        types: vec!["view".into()],
        behavior_types: vec![0; 2],
        behavior_ages: vec![0, 1],
        behavior_keys: keys(2),
        found_offsets: if room == Room::Muse { (0..=items.len() as u32).collect() } else { Vec::new() },
        found_behaviors: if room == Room::Muse { vec![1; items.len()] } else { Vec::new() },
        found_similarities: if room == Room::Muse { vec![0.5; items.len()] } else { Vec::new() },
        tiers: if room == Room::Muse { vec![1; items.len() * 2 * ranking::TIERS] } else { Vec::new() },
        labels: items.iter().map(|item| item.is_multiple_of(2)).collect(),
    };
    let mut bytes = Vec::new();
    sight.write(&mut bytes);
    (None, bytes)
}

/// A learner that makes a version of every few candidates, with rows for three items.
fn few_rows() -> Config {
    let mut config = Config::default();
    (config.candidates.enabled, config.sdim.enabled, config.muse.enabled) = (true, true, true);
    (config.sdim.dim, config.candidates.rows_max, config.candidates.admit_after) = (8, 4, 2);
    (config.candidates.batch_samples, config.candidates.version_steps) = (4, 2);
    (config.candidates.version_interval_ms, config.candidates.lag_max_ms) = (0, u64::MAX >> 1);
    config
}

#[test]
fn items_that_nobody_asks_for_give_their_rows_to_others() {
    let (config, topics) = (few_rows(), Topics::new("lessons", "", Vec::new()));
    for room in [Room::Sdim, Room::Muse] {
        // First three items, then three others, and one of the first stays.
        let of = |n: u64| if n < 12 { vec![n % 3, (n + 1) % 3] } else { vec![3 + n % 2, 0] };
        let samples: Vec<_> = (0..48).map(|n| sample(&config, room, n, &of(n))).collect();
        let calm = learn(room, &samples, &topics, &config, usize::MAX).unwrap();
        let [published, kept] = calm.versions.each_ref().map(|version| version.as_ref().unwrap());
        for version in [published, kept] {
            let names = Rows::of(&version.tensors["item.names"]).unwrap();
            let mut sorted: Vec<&str> = names.names().collect();
            sorted.sort_unstable();
            assert_eq!(sorted, ["i0", "i3", "i4"], "{}: who is asked for has a row", room.name());
            let early = learn(room, &samples[..12], &topics, &config, usize::MAX).unwrap();
            let before = Rows::of(&early.versions[0].as_ref().unwrap().tensors["item.names"]).unwrap();
            assert_eq!(before.find("i0"), names.find("i0"), "who stays keeps it");
        }
        // Steps of 4 candidates: a row's clock says in how many of them it was since it is its item's.
        let clocks = kept.tensors["adam.clocks.item.embedding"].to_integers(4).unwrap();
        let row = |item: &str| Rows::of(&kept.tensors["item.names"]).unwrap().find(item) as usize;
        assert!(clocks[row("i0")] > clocks[row("i3")] && clocks[row("i3")] > 0, "{clocks:?}");
        let others = [1, 2, 3, 5, 7, 11, 13].map(|steps| learn(room, &samples, &topics, &config, 16 + steps).unwrap());
        for (n, other) in others.iter().enumerate() {
            assert!(other.versions == calm.versions, "{} with kill {n}: another model was learned", room.name());
        }
    }
}

#[test]
fn what_was_seen_while_a_room_was_closed_is_passed_over() {
    let config = few_rows();
    for (open, closed) in [(Room::Sdim, Room::Muse), (Room::Muse, Room::Sdim)] {
        let mut study = Ranking::new(roles::ranking(&config, closed), Device::Cpu).unwrap();
        let error = study.learn(&sample(&config, open, 1, &[1, 2]).1, None).unwrap_err();
        assert!(matches!(error, LearnError::Unreadable(_)), "{}: {error}", closed.name());
        assert!(study.learn(&sample(&config, closed, 1, &[1, 2]).1, None).is_ok());
    }
}

#[test]
fn another_form_of_attention_is_another_model() {
    let settings = [Attention::Released, Attention::Paper].map(|attention| {
        let mut config = few_rows();
        config.muse.attention = attention;
        config
    });
    let study = |config: &Config| Ranking::new(roles::ranking(config, Room::Muse), Device::Cpu).unwrap();
    let samples = |of: std::ops::Range<u64>| -> Vec<Vec<u8>> {
        of.map(|n| sample(&settings[0], Room::Muse, n, &[n % 3, (n + 1) % 3]).1).collect()
    };
    let learn = |study: &mut Ranking, of: std::ops::Range<u64>| {
        samples(of).iter().for_each(|sample| _ = study.learn(sample, None).unwrap());
        study.version()
    };
    let model =
        |about: &Value, tensors: Named, version| Model { name: "muse".into(), version, about: about.clone(), tensors };
    let mut versions = Vec::new();
    for (now, before) in [(0, 1), (1, 0)] {
        let mut first = study(&settings[before]);
        let Published { about, saved, .. } = learn(&mut first, 0..24);
        let saved = model(&about, saved, 7);
        // Who is set to the other form begins anew, as if there had been nothing.
        let (mut other, mut anew) = (study(&settings[now]), study(&settings[now]));
        assert!(!other.begin(Some(&saved)).unwrap() && !anew.begin(None).unwrap());
        let [other, anew] = [&mut other, &mut anew].map(|study| learn(study, 24..48));
        assert_eq!((&other.about["attention"], other.targets), (&json!(settings[now].muse.attention.name()), 48));
        assert!(other.weights == anew.weights && other.about == anew.about);
        // Who is set to the same goes on.
        let mut same = study(&settings[before]);
        same.begin(Some(&saved)).unwrap();
        assert_eq!(learn(&mut same, 24..48).targets, 96);
        versions.push(model(&other.about, other.weights, 8));
    }
    // An engine holds versions of both, and knows the form of each; those that say none are of the only one there was.
    let ranked = Ranked { inputs: roles::rank(&settings[0]).look.inputs(), dim: 8, ..Ranked::default() };
    let sight = Sight::read(&samples(50..51)[0]).unwrap();
    let scores = |model: &Model| {
        let version = Version::new(Long::Muse, model, &ranked).unwrap();
        version.score(&mut ranking::Scorer::new(&Device::Cpu), &[&sight]).unwrap()
    };
    let [released, paper] = &versions[..] else { panic!("one of each form") };
    assert!(scores(released).iter().chain(&scores(paper)).all(|score| score.is_finite()));
    assert_ne!(scores(released), scores(paper));
    let mut silent = released.clone();
    silent.about.as_object_mut().unwrap().remove("attention");
    assert_eq!(scores(&silent), scores(released));
}

#[test]
fn vectors_of_items_are_the_same_however_often_their_learner_is_killed() {
    let mut config = few_rows();
    config.items.vectors = VectorSource::CoOccurrence;
    (config.items.learn_events, config.items.version_events) = (400, 90);
    let (topics, mut dice) = (Topics::new("lessons", "", Vec::new()), Dice(5));
    let samples: Vec<_> = (0..150)
        .map(|n| {
            // Items of three groups, later others of theirs.
            let group = dice.below(3);
            let names = (0..6).map(|item| format!("{}", group + 3 * (item + n / 25))).collect();
            let told = 1 + dice.below(9) as u32;
            let items: Vec<u32> = (0..told + dice.below(4) as u32).map(|_| dice.below(6) as u32).collect();
            let mut bytes = Vec::new();
            Passages { names, lengths: vec![(items.len() as u32, told)], items }.write(&mut bytes);
            (None, bytes)
        })
        .collect();
    let calm = learn(Room::Items, &samples, &topics, &config, usize::MAX).unwrap();
    let published = calm.versions[0].as_ref().unwrap();
    assert!(published.version >= 7, "version {}", published.version);
    let (names, vectors) = vectors_of(&published.tensors, config.sdim.dim).unwrap();
    assert!(names.len() > 20 && names.find("0") == 0, "items that nobody has looked at for long are forgotten");
    assert!(vectors.chunks(config.sdim.dim).all(|v| (v.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4));
    for steps in [3, 7, 11, 19] {
        let other = learn(Room::Items, &samples, &topics, &config, 40 + steps).unwrap();
        assert!(other.versions == calm.versions, "a kill every {} steps: other vectors were learned", 40 + steps);
    }
}
