//! What is counted in a world.

/// How often what happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Happened {
    pub crashes: u64,
    pub zombies: u64,
    pub snapshots: u64,
    pub restored: u64,
    pub expired: u64,
    pub stops: u64,
    pub faults: u64,
    pub store_faults: u64,
    pub torn: u64,
    pub cold: u64,
    pub full_disks: u64,
    pub lost_devices: u64,
    pub expired_records: u64,
    pub versions: u64,
    pub rankings: u64,
    pub items: u64,
    pub forecasts: u64,
    pub answers: u64,
    pub negatives: u64,
}

impl Happened {
    pub fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.zombies += other.zombies;
        self.snapshots += other.snapshots;
        self.restored += other.restored;
        self.expired += other.expired;
        self.stops += other.stops;
        self.faults += other.faults;
        self.store_faults += other.store_faults;
        self.torn += other.torn;
        self.cold += other.cold;
        self.full_disks += other.full_disks;
        self.lost_devices += other.lost_devices;
        self.expired_records += other.expired_records;
        self.versions += other.versions;
        self.rankings += other.rankings;
        self.items += other.items;
        self.forecasts += other.forecasts;
        self.answers += other.answers;
        self.negatives += other.negatives;
    }
}
