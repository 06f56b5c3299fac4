//! Floods, scans and attempts past the load balancer, while visitors are served.

use foobar_site::attack::attack;

use crate::up::Up;

/// Nothing gets through, and every visitor gets his page.
pub fn get_nowhere(up: &Up) {
    let report = attack(up.instance(), &|attempt| println!("  {attempt}")).expect("an attack");
    println!("  {report}");
    assert_eq!(report.through(), 0);
    assert_eq!(report.served.failed, 0);
}
