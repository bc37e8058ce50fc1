//! One slice: a server under load for a moment, and what both ends used.

use std::net::SocketAddr;
use std::time::Duration;

use crate::load::{Expected, Pace, Shape, Stop, Target};
use crate::results::{GeneratorKind, HardwareCounts, Sample, Settings};
use crate::rig::answered::Answered;
use crate::rig::fleet::Member;
use crate::rig::hardware;
use crate::rig::load_hosts::{Generators, LoadHosts};
use crate::rig::meter::{Reading, judge, judge_connections};
use crate::rig::regimes::Regime;
use crate::rig::wrk::Wrk;

/// A server with its connections in one regime; idle but for its slice.
pub struct Lane<'a> {
    member: &'a mut Member,
    regime: &'a Regime,
    /// Load generator, or the reason why it has no connections.
    driver: Result<Driver, String>,
    pace: Pace,
    settings: &'a Settings,
    load_hosts: &'a LoadHosts,
    /// Answers a second in the warm-up, which is a closed loop.
    capacity: f64,
}

/// Load generator of a server.
enum Driver {
    Own(Generators, Shape),
    Wrk(Wrk),
}

impl<'a> Lane<'a> {
    /// Connects, and loads the server until it is warm. In a crowded regime this waits for
    /// [`connected`](Self::connected).
    pub fn open(
        member: &'a mut Member,
        regime: &'a Regime,
        settings: &'a Settings,
        load_hosts: &'a LoadHosts,
    ) -> Self {
        let driver = Err("it has no connections".to_string());
        let (pace, capacity) = (Pace::Closed, f64::INFINITY);
        let mut lane = Self { member, regime, driver, pace, settings, load_hosts, capacity };
        if !regime.is_crowded() {
            lane.connect();
        }
        lane
    }

    fn connect(&mut self) {
        let (regime, settings, load_hosts) = (self.regime, self.settings, self.load_hosts);
        let address = self.member.process.address();
        let expected = self.member.expected.get(regime.key).cloned();
        let warmed = self.metered(|_| {
            let mut driver =
                Driver::open(address, regime, settings, load_hosts, expected.as_ref())?;
            let warm_up = Duration::from_millis(settings.warm_up_ms);
            let answered = match settings.warm_up_ms {
                0 => None,
                _ => Some(driver.run(Pace::Closed, warm_up)?),
            };
            Ok((driver, answered))
        });
        match warmed {
            Ok(((driver, answered), _)) => {
                if let Some(answered) = answered {
                    self.capacity = answered.requests as f64 / answered.elapsed.as_secs_f64();
                }
                self.driver = Ok(driver);
            }
            Err(reason) => self.driver = Err(reason),
        }
    }

    /// Does `take` with connections: in a crowded regime this lane has them only for that time.
    pub fn connected<T>(
        &mut self,
        take: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        if !self.regime.is_crowded() {
            return take(self);
        }
        self.connect();
        let taken = take(self);
        self.disconnect();
        taken
    }

    /// The contender's key.
    pub fn key(&self) -> &str {
        &self.member.key
    }

    /// Requests per second that it answered in a closed loop; infinite if it did not.
    pub fn capacity(&self) -> f64 {
        self.capacity
    }

    /// Sends its requests at this pace from now on.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Takes one slice. The error is a sentence for people.
    pub fn slice(&mut self) -> Result<Sample, String> {
        let (pace, length) = (self.pace, Duration::from_millis(self.settings.slice_ms));
        let (answered, reading) = self.metered(|driver| {
            driver.as_mut().map_err(|reason| reason.clone())?.run(pace, length)
        })?;
        let used = reading.used;
        let nanoseconds = |time: Duration| time.as_nanos() as u64;
        Ok(Sample {
            contender: self.member.key.clone(),
            requests: answered.requests,
            elapsed_ns: nanoseconds(answered.elapsed),
            cpu_ns: nanoseconds(used.cpu),
            wait_ns: nanoseconds(used.threads.wait),
            user_ticks: used.user_ticks,
            system_ticks: used.system_ticks,
            voluntary_switches: used.threads.voluntary_switches,
            involuntary_switches: used.threads.involuntary_switches,
            steal_ticks: reading.steal_ticks,
            machine: self.member.process.is_elsewhere().then_some(reading.machine),
            hardware: None,
            latency: answered.latency,
            generator: answered.generator,
        })
    }

    /// Loads the server once more, at the same pace, with hardware counters if there are any. This
    /// is apart from the slice because counters make each context switch take longer.
    pub fn count_hardware(&mut self) -> Result<Option<HardwareCounts>, String> {
        let counts = self.member.process.count_hardware();
        if !counts.map_err(|error| error.to_string())? {
            return Ok(None);
        }
        let pace = self.pace;
        let (answered, _) = self.metered(|driver| {
            driver.as_mut().map_err(|reason| reason.clone())?.run(pace, hardware::COUNTED)
        })?;
        let counts = self.member.process.hardware_counts(answered.requests);
        counts.map(Some).map_err(|error| error.to_string())
    }

    /// Closes the connections, which is work for the server too.
    pub fn close(mut self) {
        self.disconnect();
    }

    fn disconnect(&mut self) {
        // A server that has failed was named already.
        let _ = self.metered(|driver| {
            *driver = Err("its connections are closed".to_string());
            Ok(())
        });
    }

    fn metered<T>(
        &mut self,
        load: impl FnOnce(&mut Result<Driver, String>) -> Result<T, String>,
    ) -> Result<(T, Reading), String> {
        let (driver, cores) = (&mut self.driver, &self.settings.server_cores);
        let Member { process, account, .. } = &mut *self.member;
        account.metered(process, cores, || load(driver))
    }
}

impl Driver {
    /// Compares every answer with `expected`, or with the first one.
    fn open(
        address: SocketAddr,
        regime: &Regime,
        settings: &Settings,
        load_hosts: &LoadHosts,
        expected: Option<&Expected>,
    ) -> Result<Self, String> {
        if settings.generator == GeneratorKind::Wrk {
            let wrk = Wrk::new(address, regime).map_err(|error| error.to_string())?;
            return Ok(Self::Wrk(wrk));
        }
        let target =
            Target { addr: address, request: regime.request.clone(), method_is_head: false };
        let shape = Shape {
            connections: regime.connections,
            pipeline: regime.pipeline,
            requests_per_connection: regime.requests_per_connection,
        };
        let mut generators =
            Generators::connect(load_hosts, &target, &shape, &settings.generator_cores)?;
        generators.compare(expected)?;
        Ok(Self::Own(generators, shape))
    }

    fn run(&mut self, pace: Pace, length: Duration) -> Result<Answered, String> {
        match self {
            Self::Wrk(wrk) => wrk.run(length),
            Self::Own(generators, shape) => {
                let (outcome, hosts) = generators.run(pace, Stop::After(length))?;
                judge(&outcome)?;
                judge_connections(&outcome, shape)?;
                Ok(Answered::of(&outcome, hosts))
            }
        }
    }
}
