//! placeholder
pub(super) fn run(_: &crate::args::PlotArgs) -> anyhow::Result<()> {
    anyhow::bail!("-")
}
