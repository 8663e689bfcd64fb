//! A drill on a real lab. What is done to it stands beside, a subject each: `hurt.rs`, `clients.rs`, `ours.rs`, `seen.rs`.

mod clients;
mod hurt;
mod on_node;
mod ours;
mod seen;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::args::{Cluster, Node};
use cluster::file::LoginKind;
use cluster::session::Session;
use cluster::wait::until_true;
use lab::at_once::at_once;
use lab::open::OpenLab;
use lab::standby::{streams_from, timeline_of};
use program::progress::Progress;
use program::run::Run;
use report::event::{EventRow, Mark};
use report::evidence::READS;
use report::lsn::Lsn;
use report::reads::ReadRow;

use crate::drill::Plan;
use crate::events::Events;
use crate::faults::Injection;
use crate::kept::Kept;
use crate::load::{Load, LoadPlan};
use on_node::OnNode;

/// How often other things are looked at.
pub(super) const LOOK: Duration = Duration::from_millis(2);

/// Time for a standby to stream from its new primary.
pub(super) const STREAM_DEADLINE: Duration = Duration::from_secs(60);

/// What is asked of a drill beside its load.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) injection: &'static Injection,
    pub(crate) scenario: Plan,
    /// Time for the promotion, and again for the clients to be well.
    pub(crate) promotion_limit: Duration,
    /// How many acknowledged writes may be lost.
    pub(crate) max_lost: u64,
    /// The longest outage of a takeover that is taken.
    pub(crate) max_outage: Option<Duration>,
    /// The fewest acknowledged writes per second before each fault that are taken.
    pub(crate) min_rate: Option<u64>,
}

/// A drill on a lab.
pub(crate) struct Live<'a> {
    pub(crate) lab: &'a OpenLab,
    pub(crate) cluster: &'a Cluster,
    pub(crate) run: &'a Run,
    pub(crate) dir: PathBuf,
    pub(crate) plan: LoadPlan,
    pub(crate) asked: Asked,
    pub(crate) events: Events,
    pub(crate) reads: Kept<ReadRow>,
    pub(crate) progress: Progress,
    pub(crate) standbys: u64,
    pub(crate) old_primary: String,
    /// `None`: nobody was chosen yet.
    pub(crate) new_primary: Option<String>,
    /// Sessions of the administrator, opened before T0, by node.
    sessions: BTreeMap<String, Session>,
    old_timeline: u32,
    load: Option<Load>,
}

impl<'a> Live<'a> {
    pub(crate) fn new(
        lab: &'a OpenLab,
        cluster: &'a Cluster,
        run: &'a Run,
        dir: PathBuf,
        plan: LoadPlan,
        asked: Asked,
        progress: Progress,
    ) -> Result<Live<'a>> {
        Ok(Live {
            events: Events::create(&dir, run)?,
            reads: Kept::create(&dir, READS)?,
            lab,
            cluster,
            run,
            dir,
            plan,
            asked,
            progress,
            standbys: 0,
            old_primary: String::new(),
            new_primary: None,
            sessions: BTreeMap::new(),
            old_timeline: 0,
            load: None,
        })
    }
}

impl Live<'_> {
    pub(super) fn open(&self, node: &Node) -> Result<Session> {
        Session::open(&node.name, &self.cluster.info(node, LoginKind::Admin)?, "understudy failover-drill")
    }

    /// The session on a node; a new one if the old one is gone.
    pub(super) fn session(&mut self, name: &str) -> Result<&Session> {
        if self.sessions.get(name).is_none_or(Session::has_ended) {
            let session = self.open(self.cluster.node(name)?)?;
            self.sessions.insert(name.to_owned(), session);
        }
        self.sessions.get(name).with_context(|| format!("no session on {name}"))
    }

    pub(super) fn new_primary(&self) -> Result<String> {
        self.new_primary.clone().context("nobody was promoted")
    }

    /// The nodes that are neither the old nor the new primary.
    pub(super) fn others(&self) -> Vec<String> {
        let names = self.cluster.nodes.iter().map(|node| node.name.clone());
        names.filter(|n| *n != self.old_primary && Some(n) != self.new_primary.as_ref()).collect()
    }

    /// The rate in writes per second; `None` for `max`.
    pub(super) fn rate_per_s(&self) -> Option<u64> {
        self.plan.rate.parse().ok()
    }

    /// Waits until all `standbys` stream from the new primary on its timeline, and returns those that do not in time. The
    /// first one is T6. Each is looked at by itself: one that is silent keeps none of the others from being seen.
    pub(super) fn wait_redundant(&mut self, standbys: &[String]) -> Result<Vec<String>> {
        let new = self.new_primary()?;
        let timeline = timeline_of(self.session(&new)?)?;
        let (lab, cluster, sessions, clock) = (self.lab, self.cluster, &self.sessions, self.run.clock);
        let waited = at_once(standbys, |standby| {
            let upstream = lab.upstream(&new, standby)?;
            let mut on_new = OnNode::new(cluster, &new, sessions);
            let mut on_standby = OnNode::new(cluster, standby, sessions);
            let what = format!("{standby} to stream from {new} on timeline {timeline}");
            until_true(&what, STREAM_DEADLINE, LOOK, || {
                streams_from(on_new.session()?, on_standby.session()?, &upstream, Some(timeline))
            })?;
            Ok((clock.now_us(), on_standby.opened()))
        });
        program::stop::check()?;
        let (mut missing, mut first) = (Vec::new(), None::<(u64, &String)>);
        for (standby, waited) in standbys.iter().zip(waited) {
            match waited {
                Ok((at_us, opened)) => {
                    first = Some(first.map_or((at_us, standby), |first| first.min((at_us, standby))));
                    self.sessions.extend(opened.map(|session| (standby.clone(), session)));
                }
                Err(error) => {
                    self.events.now(Mark::Note, Some(standby), &format!("{error:#}"));
                    missing.push(standby.clone());
                }
            }
        }
        if let (false, Some((at_us, standby))) = (self.events.has(Mark::T6), first) {
            self.events.at(at_us, Mark::T6, Some(standby), "");
        }
        Ok(missing)
    }

    pub(super) fn streams_from(&mut self, primary: &str, standby: &str, timeline: u32) -> Result<bool> {
        let upstream = self.lab.upstream(primary, standby)?;
        self.session(primary)?;
        self.session(standby)?;
        streams_from(&self.sessions[primary], &self.sessions[standby], &upstream, Some(timeline))
    }

    pub(super) fn put_lsn(&mut self, mark: Mark, node: &str, lsn: Lsn, detail: &str) {
        self.events.put(EventRow { lsn: Some(lsn), ..self.events.row(mark, Some(node), detail) });
    }

    pub(super) fn put_count(&mut self, mark: Mark, node: Option<&str>, count: u64, detail: &str) {
        self.events.put(EventRow { count: Some(count), ..self.events.row(mark, node, detail) });
    }

    pub(super) fn note(&mut self, mark: Mark, node: &str, detail: &str) {
        self.events.now(mark, Some(node), detail);
    }

    /// Whether the lab is as it was before: nobody was hurt, or whoever was is a standby now, or goes on.
    pub(crate) fn is_whole(&self) -> bool {
        if self.events.has(Mark::FloorKilled) {
            return self.events.has(Mark::FloorDone);
        }
        match self.events.has(Mark::T0) {
            true => self.events.has(Mark::Rejoined) || self.events.has(Mark::Thawed),
            false => !self.events.has(Mark::CutBegun),
        }
    }

    /// What state the drill leaves, and what to type next.
    pub(crate) fn left_behind(&self) -> String {
        let (old, name) = (&self.old_primary, self.cluster.file.as_ref().map_or("", |file| file.name.as_str()));
        let fenced = if self.events.has(Mark::Fenced) { " and then ended" } else { "" };
        let done = format!("{}{fenced}", self.asked.injection.done);
        let state = match (self.events.has(Mark::T0), &self.new_primary) {
            (true, _) if !self.events.has(Mark::FaultProven) => {
                format!("{} {old} had begun, and it was not seen to be done", self.asked.injection.doing)
            }
            (true, Some(new)) if self.events.has(Mark::FloorKilled) => {
                format!("after the drill {new} was killed for the raw floor, and {old} was to take over")
            }
            (true, Some(new)) => format!("{old} {done} and {new} was to take over"),
            (true, None) if self.events.has(Mark::Thawed) => format!("{old} {done} and goes on"),
            (true, None) => format!("{old} {done} and nobody was promoted"),
            (false, _) if self.events.has(Mark::CutBegun) => "the standbys were cut off".to_owned(),
            (false, _) => return self.not_touched(name),
        };
        self.mended_by_setup(&state)
    }

    fn mended_by_setup(&self, state: &str) -> String {
        let name = self.cluster.file.as_ref().map_or("", |file| file.name.as_str());
        format!(
            "lab {name} is left as it is: {state}; `setup --name {name}` mends it, `setup --name {name} --down` removes it"
        )
    }

    /// What a second signal will say, which ends the drill at once.
    pub(crate) fn keep_last_words(&self) {
        program::stop::set_last_words((!self.is_whole()).then(|| self.left_behind()));
    }

    /// The same while something is being done, of which nobody knows yet how far it came.
    pub(super) fn keep_last_words_of(&self, doing: &str) {
        program::stop::set_last_words(Some(self.mended_by_setup(&format!("{doing} had begun"))));
    }

    /// Before the fault of a takeover.
    fn not_touched(&self, name: &str) -> String {
        match self.events.step() {
            Some(step) if step > 1 => format!(
                "nothing was done to lab {name} since takeover {} was over: {} is the primary, and its standbys stream",
                step - 1,
                self.old_primary
            ),
            _ => format!("nothing was done to lab {name} yet"),
        }
    }
}
