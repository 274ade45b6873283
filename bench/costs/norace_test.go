//go:build !race

package costs

// raceDetector would say that allocations are not what they are otherwise.
const raceDetector = false
