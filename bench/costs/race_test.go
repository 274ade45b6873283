//go:build race

package costs

// raceDetector says that allocations are not what they are otherwise.
const raceDetector = true
