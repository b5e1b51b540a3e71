# Sourced by .ci/run and .ci/release: install what the slow tests and the release tests start, where it is missing.
# Those tests open the leaderboard page in a real browser, and run sweeps on a real Slurm, which they start themselves.
# Debian's Slurm services do not start, because there is no /etc/slurm/slurm.conf.
install_programs() {
  local program as_root
  for program in chromium chromedriver slurmctld slurmd sbatch; do
    PATH=$PATH:/usr/sbin command -v "$program" > /dev/null && continue
    as_root=$([ "$(id -u)" = 0 ] || echo sudo)
    $as_root apt-get update -q
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q --no-install-recommends chromium chromium-driver slurm-wlm
    break
  done
}
