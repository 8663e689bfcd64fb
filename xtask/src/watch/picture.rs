//! What is to be seen of a drill: lines of its files in, lines of a picture out. No terminal, no file, no clock.

use std::collections::BTreeMap;

use report::columns::columns;
use report::event::{EventRow, Mark};
use report::foreign::one_line;
use report::lag::{LagRow, LagStatus};
use report::show::us;
use report::words::Fault;
use serde::de::DeserializeOwned;

use super::acks::{Acks, BAR_US};

/// What is shown with the ledger some milliseconds behind.
const BEHIND_US: u64 = 100_000;

/// Something that happened, as a line.
#[derive(Debug, PartialEq)]
pub(super) struct Moment {
    pub(super) at_us: u64,
    pub(super) what: String,
    /// Whether nobody may miss it.
    pub(super) loud: bool,
}

/// A drill so far.
#[derive(Default)]
pub(super) struct Picture {
    phase: String,
    phase_us: u64,
    primary: Option<String>,
    fault: Option<Fault>,
    /// The last fault: when, and what is said of it.
    hit: Option<(u64, String)>,
    thawed_us: Option<u64>,
    load_begun_us: Option<u64>,
    load_ended_us: Option<u64>,
    acks: Acks,
    last_ack_us: Option<u64>,
    timeline: u32,
    lag: BTreeMap<String, String>,
    moments: Vec<Moment>,
}

impl Picture {
    /// Something begins.
    pub(super) fn phase(&mut self, at_us: u64, what: &str) {
        self.now(at_us, what);
        self.tell(at_us, what.to_owned(), false);
    }

    fn now(&mut self, at_us: u64, what: &str) {
        (self.phase, self.phase_us) = (what.to_owned(), at_us);
    }

    fn tell(&mut self, at_us: u64, what: String, loud: bool) {
        self.moments.push(Moment { at_us, what, loud });
    }

    /// What has happened since this was asked last, in order.
    pub(super) fn moments(&mut self) -> Vec<Moment> {
        let mut moments = std::mem::take(&mut self.moments);
        moments.sort_by_key(|moment| moment.at_us);
        moments
    }

    /// A line of `events.csv`.
    pub(super) fn event(&mut self, line: &str) {
        let Some(event) = row::<EventRow>(line) else { return };
        let (at_us, node) = (event.at_us, one_line(event.node.as_deref().unwrap_or_default()).into_owned());
        let since =
            |picture: &Picture| picture.hit.as_ref().map_or(String::new(), |(t0, _)| us(at_us.saturating_sub(*t0)));
        match event.mark {
            Mark::LoadStarted => {
                self.load_begun_us = Some(at_us);
                self.phase(at_us, "writing");
            }
            Mark::StepBegun => {
                self.fault = event.fault;
                self.primary = Some(node);
            }
            Mark::Cut => self.phase(at_us, "writing, with the standbys cut off"),
            Mark::T0 => {
                let what = format!("{} {node}", loud_word(self.fault.unwrap_or(Fault::Kill)));
                (self.primary, self.thawed_us) = (None, None);
                self.now(at_us, "nobody is primary");
                self.hit = Some((at_us, what.clone()));
                self.tell(at_us, what, true);
            }
            Mark::T3 => {
                self.tell(at_us, format!("promoted {node}, {} after the fault", since(self)), true);
                self.hit.iter_mut().for_each(|(_, what)| *what += &format!(", promoted {node}"));
                self.primary = Some(node);
                self.now(at_us, "waiting for the clients");
            }
            Mark::Thawed => {
                self.tell(at_us, format!("{node} goes on"), true);
                (self.primary, self.thawed_us) = (Some(node), Some(at_us));
            }
            Mark::RejoinBegun => self.phase(at_us, &format!("bringing {node} back")),
            Mark::Rejoined => {
                let how = event.rejoin.map_or(String::new(), |how| format!(", by {how}"));
                self.tell(at_us, format!("{node} is a standby again{how}"), false);
                self.now(at_us, "writing");
            }
            Mark::RejoinFailed => self.tell(at_us, format!("{node} could NOT rejoin"), true),
            Mark::LoadEnding => self.phase(at_us, "ending the load"),
            Mark::LoadEnded => self.load_ended_us = Some(at_us),
            Mark::FinalRead => self.phase(at_us, "reading back what is there"),
            Mark::FloorBegun => self.phase(at_us, "measuring the raw floor of these nodes"),
            Mark::CouldNot => {
                let why = event.detail.as_deref().unwrap_or_default();
                self.tell(at_us, format!("could not: {}", one_line(why)), true);
            }
            _ => {}
        }
    }

    /// A line of `ledger.csv`. Only acks count here, and there may be thousands in a second, so no row is made of it.
    pub(super) fn write(&mut self, line: &str) {
        let mut fields = line.split(',').skip(1);
        let (at, event) = (fields.next(), fields.nth(2));
        let (node, timeline) = (fields.nth(3), fields.next());
        let (Some(at), Some("acked" | "acked_local"), Some(node), Some(timeline)) = (at, event, node, timeline) else {
            return;
        };
        let (Ok(at_us), Ok(timeline)) = (at.parse::<u64>(), timeline.parse::<u32>()) else { return };
        self.acks.add(at_us);
        if self.hit.is_none() && self.primary.is_none() {
            self.primary = Some(one_line(node).into_owned()); // a step names it only when its fault is at hand
        }
        let is_new =
            self.timeline > 0 && timeline > self.timeline || self.thawed_us.is_some_and(|thawed| at_us >= thawed);
        if let Some(last) = self.last_ack_us.filter(|_| is_new) {
            self.thawed_us = None;
            let gap = us(at_us.saturating_sub(last));
            self.tell(at_us, format!("{} acknowledges again: {gap} without an ack", one_line(node)), false);
            self.now(at_us, "writing");
        }
        self.timeline = self.timeline.max(timeline);
        self.last_ack_us = self.last_ack_us.max(Some(at_us));
    }

    /// A line of `lag.csv`.
    pub(super) fn lag(&mut self, line: &str) {
        let Some(sample) = row::<LagRow>(line) else { return };
        let lag = match (sample.status, sample.visible_max_us, sample.visible_min_us) {
            (LagStatus::Seen, Some(lag), _) => us(lag),
            (LagStatus::AtLeast | LagStatus::Unreachable, _, Some(bound)) => format!("≥ {}", us(bound)),
            _ => return,
        };
        self.lag.insert(one_line(&sample.standby).into_owned(), lag);
    }

    /// The picture now, no wider than `width`.
    pub(super) fn lines(&self, now_us: u64, width: usize) -> Vec<String> {
        const TURNS: [char; 4] = ['|', '/', '-', '\\'];
        let turn = TURNS[(now_us / 200_000 % 4) as usize];
        let mut lines = vec![format!("{turn} {} {}", self.phase, us(now_us.saturating_sub(self.phase_us)))];
        let load_us = self.load_begun_us.map(|begun| (begun, self.load_ended_us.unwrap_or(now_us)));
        if let Some((begun_us, until_us)) = load_us {
            lines.push(self.figures(until_us));
            let t0_us = self.hit.as_ref().map_or(begun_us, |(t0, _)| *t0);
            let left_us = Acks::left_us(width, t0_us, until_us.saturating_sub(BEHIND_US));
            lines.push(self.acks.bars(width, left_us));
            lines.push(self.mark(left_us, width));
        }
        lines.iter().map(|line| line.chars().take(width).collect()).collect()
    }

    fn figures(&self, until_us: u64) -> String {
        let primary = self.primary.as_ref().map_or("no primary".to_owned(), |node| format!("primary {node}"));
        let second = until_us.saturating_sub(BEHIND_US);
        let rate = self.acks.between(second.saturating_sub(1_000_000), second);
        let of = |(node, lag): (&String, &String)| format!(", lag of {node} {lag}");
        let lag = self.lag.iter().filter(|(node, _)| Some(*node) != self.primary.as_ref()).map(of);
        format!("{primary}, {rate} writes/s{}", lag.collect::<String>())
    }

    /// What is written below the bar in which the fault lies.
    fn mark(&self, left_us: u64, width: usize) -> String {
        let Some((t0_us, what)) = self.hit.as_ref().filter(|(t0_us, _)| *t0_us >= left_us) else {
            return String::new();
        };
        let bar = ((t0_us - left_us) / BAR_US) as usize;
        let (length, before) = (what.chars().count(), bar.saturating_sub(1));
        if bar + 2 + length <= width || length > before && bar * 2 <= width {
            return format!("{:bar$}▲ {what}", ""); // cut at the screen's edge, where there is no room on either side
        }
        let kept: String = what.chars().skip(length.saturating_sub(before)).collect();
        format!("{kept:>before$} ▲")
    }
}

/// What the screen calls a fault that has come.
fn loud_word(fault: Fault) -> &'static str {
    match fault {
        Fault::Kill => "KILLED",
        Fault::Stop => "STOPPED",
        Fault::Freeze => "FROZEN:",
        Fault::Stall => "STALLED:",
    }
}

/// A row of a file; `None` for its header, and for what is no row.
fn row<Row: DeserializeOwned>(line: &str) -> Option<Row> {
    let header = csv::StringRecord::from(columns::<Row>().to_vec());
    let mut record = csv::StringRecord::new();
    csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes()).read_record(&mut record).ok()?;
    record.deserialize(Some(&header)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drill() -> Picture {
        let mut picture = Picture::default();
        picture.phase(0, "seeding data");
        picture.event("run,at_us,mark,node,detail,step,fault,lsn,count,rejoin,file,md5");
        picture.event("r,1000000,load_started,,rate 500,,,,,,,");
        picture.event("r,3000000,step_begun,node1,,1,kill,,,,,");
        for at_us in (1_000_000..4_000_000).step_by(2_000) {
            picture.write(&format!("r,{at_us},0,1,acked,1,1,,node1,1"));
        }
        picture.lag("r,3900000,node2,7,100,904,,,,,,,,,streaming,quorum,seen");
        picture
    }

    #[test]
    fn the_gap_opens_and_closes() {
        let mut picture = drill();
        let before = picture.lines(4_000_000, 40);
        assert!(
            before[1].starts_with("primary node1, 500 writes/s, lag of node2 904 µs"[..30].trim_end()),
            "{before:?}"
        );
        assert_eq!(picture.moments().len(), 2);
        picture.event("r,4000000,t0,node1,kill,1,,,,,,");
        let open = picture.lines(4_300_000, 40);
        assert!(
            open[1].starts_with("no primary") && open[2].ends_with("   ") && open[3].ends_with("KILLED node1 ▲"),
            "{open:?}"
        );
        picture.event("r,4350000,t3,node2,,1,,,,,,");
        for at_us in (4_400_000..6_000_000).step_by(2_000) {
            picture.write(&format!("r,{at_us},0,1,acked,1,1,,node2,2"));
        }
        let closed = picture.lines(5_400_000, 40);
        assert!(
            closed[2].contains("█        █") && closed[3].trim_start().starts_with("▲ KILLED node1, promoted"),
            "{closed:?}"
        );
        let told: Vec<String> = picture.moments().into_iter().map(|moment| moment.what).collect();
        let ack = "node2 acknowledges again: 402.00 ms without an ack";
        assert_eq!(told, ["KILLED node1", "promoted node2, 350.00 ms after the fault", ack]);
    }

    /// However narrow the screen is: what there is no room for is said in part, and the mark stays.
    #[test]
    fn the_mark_is_below_the_gap_on_every_screen() {
        let mut picture = drill();
        picture.event("r,4000000,t0,node1,kill,1,,,,,,");
        picture.event("r,4350000,t3,node2,,1,,,,,,");
        for at_us in (4_400_000..6_000_000).step_by(2_000) {
            picture.write(&format!("r,{at_us},0,1,acked,1,1,,node2,2"));
        }
        for (width, now_us) in [(20, 4_700_000), (39, 5_400_000), (39, 4_700_000), (39, 6_000_000), (119, 5_000_000)] {
            let lines = picture.lines(now_us, width);
            let mark = lines[3].chars().position(|c| c == '▲').unwrap_or_else(|| panic!("{width}: {lines:?}"));
            assert_eq!(lines[2].chars().nth(mark), Some(' '), "{width}: {lines:#?}");
            assert_eq!(lines[2].chars().nth(mark - 1), Some('█'), "{width}: {lines:#?}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_screen_and_no_name_moves_the_cursor() {
        let mut picture = drill();
        picture.event("r,4000000,t0,\"a\u{1b}[2Jb\",kill,1,,,,,,");
        picture.event("nonsense");
        picture.write("r,x,y");
        for width in [0, 1, 10, 40, 79, 119] {
            let lines = picture.lines(5_000_000, width);
            assert!(lines.iter().all(|line| line.chars().count() <= width && !line.contains('\u{1b}')), "{lines:?}");
        }
    }
}
