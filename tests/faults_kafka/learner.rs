//! The learner's process is killed and killed again: what is learned is what one learns who is never disturbed, bit for bit.

use std::time::Duration;

use pipeline::config::{Config, Learn};
use schemas::output::Room;
use schemas::topics::Topics;

use crate::broker::unique;
use crate::lessons::Learned;
use crate::path::VIEWS;
use crate::service_kafka::{World, lines_and_outcome};

#[test]
fn a_learner_that_is_killed_goes_on_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(&dir, unique("learner"), VIEWS);
    let settings = [
        ("prompt_tpp.enabled", "true"),
        ("prompt_tpp.learn", "prompt_calibrated"),
        ("prompt_tpp.warm_up_events", "400"),
        ("prompt_tpp.warm_up_passes", "2"),
        ("prompt_tpp.batch_samples", "16"),
        ("prompt_tpp.version_steps", "2"),
        // What is learned is to depend on the samples alone: the learner here knows no time of theirs.
        ("prompt_tpp.version_interval_ms", "0"),
        ("prompt_tpp.lag_max_ms", "86400000"),
        ("device", "cpu"),
    ];
    world.settings.extend(settings.map(|(key, value)| (key.into(), value.into())));
    world.create_topics();
    let (lines, expected) = lines_and_outcome(71, 6000);
    let mut services = [world.serve("a"), world.serve("b")];
    services[0].wait_for("state begins");
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| world.send_slowly("events", &lines, Duration::from_secs(24)));
        for round in 0..4 {
            std::thread::sleep(Duration::from_secs(5));
            // Whoever learns now.
            let learns =
                services.iter().position(|service| service.said().contains("learning begins")).unwrap_or(round % 2);
            let name = ["a", "b"][learns];
            services[learns].signal(libc::SIGKILL);
            services[learns] = world.serve(name);
        }
        feeding.join().unwrap();
    });
    world.check(&expected);
    let topics = Topics::new(&world.app, &format!("{}.", world.app), Vec::new());
    let mut config = Config { app: world.app.clone(), ..Config::default() };
    let settings = &mut config.prompt_tpp;
    (settings.enabled, settings.learn) = (true, Learn::PromptCalibrated);
    (settings.warm_up_events, settings.warm_up_passes) = (400, 2);
    (settings.batch_samples, settings.version_steps) = (16, 2);
    // The last samples may still be on their way to a version.
    let cluster = world.cluster();
    let mut checked = Err("never looked".to_string());
    for _ in 0..30 {
        checked = Learned::read(&cluster, &topics, Room::PromptTpp).check(&topics, &config, true);
        if checked.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let versions = checked.unwrap();
    assert!(versions > 10, "{versions} versions");
}
