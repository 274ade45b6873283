// Package retention decides which snapshots to keep. It is a pure function of snapshots and a policy: it reads no clock and no
// repository, and changes nothing.
//
// The rules are those that restic's users know: the newest snapshot of each hour, day, week, month or year, so many of
// them; all, or one for each period, within a time before the newest; the last ones; those with tags. Days begin and weeks
// end as they do in the location of the time that the caller gives as now.
//
// Two rules are added, so that no snapshot makes another one go that it has no right to replace. Snapshots that are incomplete,
// and those that claim to be older than the repository can have received them, are kept where the policy says so, but never
// count against the others: whatever the policy would keep without them is kept.
package retention
