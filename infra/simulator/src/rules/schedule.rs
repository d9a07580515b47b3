//! Effects that fall due: status changes, late sends, reminders, expiry, reactivation.

use crate::platform::clock::{Millis, SECOND};
use crate::platform::state::PlatformState;
use crate::platform::subscriptions::WebhookStatus;

impl PlatformState {
    /// When the next effect falls due.
    #[must_use]
    pub fn next_due(&self) -> Option<Millis> {
        let step = self.mail.scheduled.keys().next().map(|(at, _)| *at);
        let reactivate_after = self.settings.reactivate_after_seconds;
        let subscriptions = self.subscriptions.iter().filter(|s| !s.expired).flat_map(|s| {
            let seconds = reactivate_after.filter(|_| s.status == WebhookStatus::Blacklisted);
            let reactivation = seconds.and_then(|seconds| Some(s.blacklisted.as_ref()?.0 + seconds * SECOND));
            [Some(s.expires_at), s.remind_at, reactivation]
        });
        subscriptions.flatten().chain(step).min()
    }

    /// Applies everything that has fallen due by `now`, in the order of due times.
    pub fn apply_due(&mut self, now: Millis) {
        while let Some(at) = self.next_due().filter(|at| *at <= now) {
            self.reactivate_subscriptions(at);
            self.send_reminders(at);
            while let Some(entry) = self.mail.scheduled.first_entry().filter(|e| e.key().0 <= at) {
                let step = entry.remove();
                self.run_step(at, step);
            }
            self.expire_subscriptions(at);
        }
    }
}
