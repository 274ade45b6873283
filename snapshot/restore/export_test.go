package restore

// SmallWindows makes windows so small that there are many.
func SmallWindows(o *Options, places, targets int, bytes int64) {
	o.limits = limits{places: places, targets: targets, bytes: bytes}
}
