//! One variant as a process: `cargo bench -- serve`.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, bail};
use clap::Args;
use pinloop::app::DEFAULT_ROUNDS;

use crate::load::cpu_list;
use crate::rig::process::{READY, end_with_parent};
use crate::variants;

/// Arguments of `serve`.
#[derive(Args, Debug)]
pub struct Serve {
    /// Name of the variant
    variant: String,
    /// Address to listen on
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST.into())]
    listen: IpAddr,
    /// Port; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// CPUs to pin a thread to, one each
    #[arg(long, value_parser = cores)]
    cores: Cores,
    /// Rounds of the work function for one GET /data
    #[arg(long, default_value_t = DEFAULT_ROUNDS)]
    work: u32,
    /// Connections to admit, if that is more than the variant does by itself
    #[arg(long, default_value_t = 0)]
    connections: usize,
    /// Process that this one is to end with
    #[arg(long)]
    parent: Option<u32>,
}

/// CPUs by number, as on the command line.
#[derive(Clone, Debug)]
pub struct Cores(pub Vec<usize>);

/// Serves until the process is ended. Returns only with an error.
pub fn run(arguments: &Serve) -> anyhow::Result<()> {
    if let Some(parent) = arguments.parent {
        end_with_parent(parent)?;
    }
    let name = &arguments.variant;
    let Some(variant) = variants::find(name) else {
        let names: Vec<_> = variants::all().map(|variant| variant.name).collect();
        bail!("there is no variant {name:?}; there are {}", names.join(", "));
    };
    let settings = variants::Settings {
        address: SocketAddr::new(arguments.listen, arguments.port),
        cores: arguments.cores.0.clone(),
        rounds: arguments.work,
        connections: arguments.connections,
    };
    // The server goes on even if its parent does not read its stdout any more.
    let ready = |address: SocketAddr| drop(writeln!(io::stdout(), "{READY}{address}"));
    (variant.serve)(&settings, &ready).with_context(|| format!("{name} cannot serve"))
}

/// Parses CPUs such as `0,2-3`.
pub fn cores(list: &str) -> Result<Cores, String> {
    cpu_list(list).map(Cores).ok_or_else(|| "expected CPUs such as 0,2-3".to_string())
}
