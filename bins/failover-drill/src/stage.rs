//! The seams between the order of a drill and what each step does, four of them: what is done to the cluster, who manages it,
//! the clients, and what is written down. [`crate::live::Live`] does it to a lab; the tests' twin only notes it.

use std::time::Duration;

use anyhow::Result;

use crate::faults::Injection;

/// What is done to the cluster, by the seams `Power` and `Link` of its backend.
pub(crate) trait Hurt {
    /// Cuts the standbys off from the primary, and sees that they are.
    fn cut_standbys(&mut self) -> Result<()>;
    /// T0, and the fault; returns when it is proven to have fired.
    fn inject(&mut self, injection: &Injection) -> Result<()>;
    /// Lets a frozen primary go on so long after T0, whatever comes in between.
    fn thaw_after(&mut self, time: Duration) -> Result<()>;
    /// Keeps the old primary from ever serving anybody again, where the fault has left that open.
    fn fence(&mut self, injection: &Injection) -> Result<()>;
}

/// Who promotes a standby and brings the others back. Today that is us.
pub(crate) trait Manager {
    /// Chooses the standby that has the most WAL; where there are several, all of them receive nothing more from here on.
    fn choose(&mut self) -> Result<()>;
    /// Promotes it: T3.
    fn promote(&mut self) -> Result<()>;
    /// Points the other standbys at the new primary, each after its slot was made.
    fn repoint_others(&mut self) -> Result<()>;
    /// Brings the old primary back as a standby.
    fn rejoin(&mut self) -> Result<()>;
    /// Sets `synchronous_standby_names` on the new primary once a quorum streams.
    fn restore_sync(&mut self) -> Result<()>;
}

/// The clients, who know what was promised.
pub(crate) trait Clients {
    /// Starts the load.
    fn begin_load(&mut self) -> Result<()>;
    /// Lets the load run; fails if it ends by itself.
    fn load_for(&mut self, time: Duration) -> Result<()>;
    /// Waits until the load is being acknowledged, as it must be when the standbys are cut off or the fault comes: what
    /// is lost while the load is silent, nobody sees.
    fn wait_flowing(&mut self) -> Result<()>;
    /// Waits for the first new ack.
    fn wait_for_ack(&mut self) -> Result<()>;
    /// Waits until every client is well again.
    fn wait_all_well(&mut self) -> Result<()>;
    /// Ends the load and waits until no backend of it is left.
    fn end_load(&mut self) -> Result<()>;
}

/// What is looked at and written down.
pub(crate) trait Evidence {
    /// One primary, every standby streams from it, and in a sync mode the quorum shows. Sessions are opened here that
    /// are needed after T0.
    fn check(&mut self) -> Result<()>;
    /// Waits until the same is so again after a takeover: the next one begins from there.
    fn check_again(&mut self) -> Result<()>;
    /// A step of the run begins: from here on things happen because of a fault that is to come.
    fn begin_step(&mut self) -> Result<()>;
    /// Reads how far the old primary's WAL goes beyond the fork.
    fn read_old_end(&mut self) -> Result<()>;
    /// Reads what rows only the old primary has, while nobody can reach it.
    fn read_divergent(&mut self) -> Result<()>;
    /// Reads all rows of the run on the one node that is out of recovery.
    fn final_read(&mut self) -> Result<()>;
    /// Sees which standbys stream from the new primary on its timeline.
    fn final_check(&mut self) -> Result<()>;
    /// Something could not be done or found out; the drill goes on to what still can.
    fn could_not(&mut self, error: &anyhow::Error);
}

/// All that a drill is played on.
pub(crate) trait Stage: Hurt + Manager + Clients + Evidence {}

impl<All: Hurt + Manager + Clients + Evidence> Stage for All {}
