//! The machine that the servers run on, and the servers there: always through an agent.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::results::{Baseline, EventLoop, HardwareCounts, Machines, Remote, Side, Thermometer};
use crate::rig::agent::connection::{AgentError, Connection};
use crate::rig::agent::install::{Installed, install};
use crate::rig::agent::shell::Shell;
use crate::rig::agent::wire::{Ask, Start, Started};
use crate::rig::load_hosts::{LoadHosts, Loader};
use crate::rig::machine_time::MachineTime;
use crate::rig::memory::MemoryUse;
use crate::rig::meter::{Observed, Watched};
use crate::rig::process::Readiness;
use crate::rig::{network, site};

/// Time that a connection to a server may take which its own machine can reach.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A machine with an agent.
#[derive(Debug)]
pub struct Host {
    connection: Mutex<Connection>,
    /// Address that servers listen on.
    listen: IpAddr,
    /// Address that they are reached at.
    address: IpAddr,
    side: Side,
    /// Leads there if servers are on another machine, or in another namespace.
    elsewhere: Option<Shell>,
    /// SHA-256 of the agent if it is another program than this one.
    agent: Option<String>,
    /// Why a server there could not be connected to. The next one is not even started.
    unreachable: OnceLock<AgentError>,
    /// Paths there of programs of this machine.
    programs: Mutex<BTreeMap<PathBuf, String>>,
}

/// Servers on another machine, as on the command line.
#[derive(Clone, Debug)]
pub struct Place {
    /// Command that leads there, such as `ssh HOST`.
    pub command: String,
    /// Address at which the servers are reached.
    pub address: IpAddr,
    /// Address that the servers listen on.
    pub listen: IpAddr,
    /// The same build of this program, for a machine of another platform.
    pub agent: Option<PathBuf>,
}

/// A server that an agent has started. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    host: Arc<Host>,
    number: u32,
    id: u32,
    address: SocketAddr,
}

impl Host {
    /// Uses this machine, with servers on its loopback address. `program` is this program, or one
    /// that has its subcommand `agent`.
    pub fn local(program: &Path) -> Result<Arc<Self>, AgentError> {
        let loopback = Ipv4Addr::LOCALHOST.into();
        Self::local_at(program, loopback, loopback)
    }

    /// Uses this machine, with servers that listen on one address of it and are reached at another
    /// one, or at the same.
    pub fn local_at(
        program: &Path,
        listen: IpAddr,
        address: IpAddr,
    ) -> Result<Arc<Self>, AgentError> {
        let mut command = Command::new(program);
        // An interrupt from the terminal reaches only this process, which then ends it in order.
        command.arg("agent").process_group(0);
        let connection = Connection::open(command, "this machine")?;
        Self::of(connection, listen, address, None).map(Arc::new)
    }

    /// Uses another machine. `program` is copied there unless the place has a program of its own.
    pub fn remote(place: &Place, program: &Path) -> Result<Arc<Self>, AgentError> {
        let shell = Shell::new(&place.command);
        let Installed { path, other } = install(&shell, program, place.agent.as_deref())?;
        let connection = Connection::open(shell.command(&[&path, "agent"]), shell.name())?;
        note_banner(&connection, &shell);
        let mut host = Self::of(connection, place.listen, place.address, Some(shell))?;
        host.agent = other;
        host.programs().insert(program.to_path_buf(), path);
        Ok(Arc::new(host))
    }

    /// Starts an agent that loads servers, by the command that leads to its machine.
    /// `server` is the address that the servers will have.
    pub fn loader(
        command: &str,
        program: &Path,
        agent: Option<&Path>,
        server: IpAddr,
    ) -> Result<Loader, AgentError> {
        let shell = Shell::new(command);
        let Installed { path, other } = install(&shell, program, agent)?;
        let mut connection = Connection::open(shell.command(&[&path, "agent"]), shell.name())?;
        note_banner(&connection, &shell);
        let describe = Ask::Describe { address: None, peer: Some(server) };
        let side = connection.ask(describe, Duration::ZERO)?;
        Loader::new(connection, command, side, other)
    }

    fn of(
        connection: Connection,
        listen: IpAddr,
        address: IpAddr,
        elsewhere: Option<Shell>,
    ) -> Result<Self, AgentError> {
        let mut host = Self {
            connection: Mutex::new(connection),
            listen,
            address,
            side: Side::default(),
            elsewhere,
            agent: None,
            unreachable: OnceLock::new(),
            programs: Mutex::default(),
        };
        host.side = host.ask(Ask::Describe { address: Some(listen), peer: None })?;
        Ok(host)
    }

    /// Returns the machine, with the interface that servers listen on.
    pub fn side(&self) -> &Side {
        &self.side
    }

    /// Reports whether servers are on another machine, or in another namespace of this one.
    pub fn is_elsewhere(&self) -> bool {
        self.elsewhere.is_some()
    }

    /// Returns the command that leads to the machine; none if it is this one.
    pub fn command(&self) -> Option<String> {
        self.elsewhere.as_ref().map(|shell| shell.name().to_string())
    }

    /// Returns the process id of the agent, or of the command that leads to it.
    pub fn agent_id(&self) -> u32 {
        self.connection().id()
    }

    /// Describes the other machines of a study, with their round trips to a server that is up.
    pub fn machines(
        &self,
        load_hosts: &LoadHosts,
        server: Option<SocketAddr>,
    ) -> io::Result<Machines> {
        let load_hosts = load_hosts.iter().map(|host| host.record(server)).collect();
        Ok(Machines { remote: self.describe(server)?, load_hosts })
    }

    /// Describes both sides and what lies between. Returns none if the servers are on this machine.
    fn describe(&self, server: Option<SocketAddr>) -> io::Result<Option<Remote>> {
        let Some(shell) = &self.elsewhere else { return Ok(None) };
        let client = site::describe(None, Some(self.address))?;
        Ok(Some(Remote {
            command: shell.name().to_string(),
            address: Some(self.address),
            agent: self.agent.clone(),
            is_same_machine: client.boot == self.side.boot,
            server: self.side.clone(),
            client,
            round_trips_ns: server.map(network::round_trips).transpose()?.unwrap_or_default(),
        }))
    }

    /// Returns why the machine cannot serve each of these variants; none if it can.
    pub fn unavailable(&self, variants: &[&str]) -> Result<Vec<Option<String>>, AgentError> {
        self.ask(Ask::Unavailable(variants.iter().map(ToString::to_string).collect()))
    }

    /// Starts `command` there on `cores`, waits until it is ready, and connects to it once.
    pub fn start(
        self: &Arc<Self>,
        command: &Command,
        cores: &[usize],
        readiness: Readiness,
        patience: Duration,
    ) -> Result<Server, AgentError> {
        if let Some(error) = self.unreachable.get() {
            return Err(error.clone());
        }
        let text = |word: &std::ffi::OsStr| word.to_string_lossy().into_owned();
        let start = Start {
            program: self.program(Path::new(command.get_program()))?,
            arguments: command.get_args().map(text).collect(),
            cores: cores.to_vec(),
            listen: self.listen,
            readiness,
            patience,
        };
        let started: Started = self.ask_within(Ask::Start(start), patience)?;
        let address = SocketAddr::new(self.address, started.address.port());
        let server = Server { host: self.clone(), number: started.server, id: started.id, address };
        if !self.address.is_loopback() || self.is_elsewhere() {
            reach(address).map_err(|error| self.unreachable.get_or_init(|| error).clone())?;
        }
        Ok(server)
    }

    /// Takes the pace of the machine on one of its CPUs.
    pub fn thermometer(&self, core: usize) -> Result<Thermometer, AgentError> {
        self.ask(Ask::Thermometer(core))
    }

    /// Observes for this time what the machine does without load. Returns none if it is also the
    /// generator's.
    pub fn baseline(&self, time: Duration) -> Result<Option<Baseline>, AgentError> {
        if !self.is_elsewhere() {
            return Ok(None);
        }
        let before: MachineTime = self.ask(Ask::MachineTime)?;
        std::thread::sleep(time);
        let after: MachineTime = self.ask(Ask::MachineTime)?;
        // By that machine's clock, because a round trip passes between its readings too.
        let ticks = after.since(&before);
        Ok(Some(Baseline { elapsed_ns: ticks.elapsed_ns, ticks }))
    }

    /// Returns the path there of a program of this machine.
    fn program(&self, program: &Path) -> Result<String, AgentError> {
        let here = program.to_string_lossy().into_owned();
        let Some(shell) = &self.elsewhere else { return Ok(here) };
        if let Some(there) = self.programs().get(program) {
            return Ok(there.clone());
        }
        let there = install(shell, program, None)?.path;
        self.programs().insert(program.to_path_buf(), there.clone());
        Ok(there)
    }

    fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, AgentError> {
        self.ask_within(ask, Duration::ZERO)
    }

    fn ask_within<T: DeserializeOwned>(
        &self,
        ask: Ask,
        patience: Duration,
    ) -> Result<T, AgentError> {
        self.connection().ask(ask, patience)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn programs(&self) -> MutexGuard<'_, BTreeMap<PathBuf, String>> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note_banner(connection: &Connection, shell: &Shell) {
    let banner = connection.banner();
    if !banner.is_empty() {
        eprintln!("note: {} printed before the agent spoke: {banner}", shell.name());
    }
}

/// Connects from this machine to a server that is ready on its own.
fn reach(address: SocketAddr) -> Result<(), AgentError> {
    TcpStream::connect_timeout(&address, CONNECT_WITHIN).map(drop).map_err(|error| {
        AgentError::Refused(format!(
            "listens, but this machine cannot connect to it at {address}: {error}; is --address \
             right, and does a firewall let this port through?"
        ))
    })
}

impl Server {
    /// Returns the address that it is reached at.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its process id on its machine.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Reads its memory once it sleeps.
    pub fn memory(&self) -> Result<MemoryUse, AgentError> {
        self.host.ask(Ask::Memory(self.number))
    }

    /// Returns how its event loops share these clients, each with its number of requests.
    pub fn event_loops(
        &self,
        clients: &BTreeMap<SocketAddr, u64>,
    ) -> Result<Vec<EventLoop>, AgentError> {
        self.host.ask(Ask::EventLoops(self.number, clients.clone()))
    }

    /// Starts hardware counters. Returns false if the machine lacks them.
    pub fn count_hardware(&self) -> Result<bool, AgentError> {
        self.host.ask(Ask::CountHardware(self.number))
    }

    /// Stops them. Returns the counts, for this number of requests.
    pub fn hardware_counts(&self, requests: u64) -> Result<HardwareCounts, AgentError> {
        self.host.ask(Ask::HardwareCounts(self.number, requests))
    }

    /// Reports whether the machine is another one than the generator's.
    pub fn is_elsewhere(&self) -> bool {
        self.host.is_elsewhere()
    }
}

impl Watched for Server {
    fn observe(&mut self, cores: &[usize], settle: bool) -> io::Result<Observed> {
        let read = Ask::Read { server: self.number, cores: cores.to_vec(), settle };
        Ok(self.host.ask(read)?)
    }

    fn check(&mut self) -> Result<(), String> {
        self.host.ask(Ask::Check(self.number)).map_err(|error| error.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only without an agent, and then without a server.
        let _ = self.host.ask::<bool>(Ask::End(self.number));
    }
}
