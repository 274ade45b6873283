package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// readChangeMaps reads what --change-map names, and returns it by the absolute paths that it is for.
func readChangeMaps(values, paths []string) (map[string]*source.ChangeMap, error) {
	maps := map[string]*source.ChangeMap{}
	for _, v := range values {
		path, file, err := splitChangeMap(v, paths)
		if err != nil {
			return nil, err
		}
		if maps[path] != nil {
			return nil, usagef("--change-map %s: there is another one for %s", v, path)
		}
		if maps[path], err = readChangeMap(file); err != nil {
			return nil, fmt.Errorf("change map %s: %w", file, err)
		}
	}
	return maps, nil
}

// splitChangeMap divides PATH=FILE. PATH may be left out if there is only one, and both may have more of these signs.
func splitChangeMap(v string, paths []string) (path, file string, err error) {
	for i := range len(v) {
		if v[i] != '=' || i == 0 {
			continue
		}
		if path, err = filepath.Abs(v[:i]); err != nil {
			return "", "", err
		}
		if slices.Contains(paths, path) {
			return path, v[i+1:], nil
		}
	}
	if len(paths) == 1 {
		return paths[0], v, nil
	}
	return "", "", usagef("--change-map %s: give PATH=FILE, with one of the paths to back up", v)
}

func readChangeMap(file string) (*source.ChangeMap, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return source.ParseChangeMap(f)
}
