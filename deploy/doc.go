// Package deploy holds the files of the services in docker-compose.yml, and tests
// that run them and the scripts on real services. It has no code of its own and
// nothing imports it.
package deploy
