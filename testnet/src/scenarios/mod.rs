//! What must be true of real hosts, one function per claim.
//!
//! A scenario raises the hosts it needs through its [`Context`], does to them
//! what the field does, and waits for conditions, never for times. To add one,
//! write a function in a file here and name it in [`ALL`].

mod again;
mod authority;
mod cli;
mod clients;
mod discovery;
mod disks;
mod driver;
mod failures;
mod formation;
mod hostile;
mod hosts;
mod idle;
pub mod kit;
mod leader;
mod locked;
mod logs;
mod losses;
mod members;
mod modes;
mod options;
mod overlay;
mod presence;
mod refusals;
mod rollout;
mod secrets;
mod stacks;
mod take_over;

use anyhow::Result;

use crate::runner::Context;

/// One claim about real hosts.
#[derive(Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(&Context) -> Result<()>,
}

/// Every scenario, in the order in which they run: what the others rely on first.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "hosts_have_cables_power_disks_and_engines",
        run: hosts::hosts_have_cables_power_disks_and_engines,
    },
    Scenario {
        name: "services_die_and_start_only_when_told",
        run: hosts::services_die_and_start_only_when_told,
    },
    Scenario {
        name: "testnets_live_side_by_side",
        run: hosts::testnets_live_side_by_side,
    },
    Scenario {
        name: "an_interrupted_up_leaves_nothing_after_down",
        run: hosts::an_interrupted_up_leaves_nothing_after_down,
    },
    Scenario {
        name: "a_killed_leader_is_replaced_and_nothing_else_restarts",
        run: leader::a_killed_leader_is_replaced_and_nothing_else_restarts,
    },
    Scenario {
        name: "a_swarm_without_power_comes_back_by_itself",
        run: leader::a_swarm_without_power_comes_back_by_itself,
    },
    Scenario {
        name: "a_lost_node_is_noticed_and_its_tasks_are_replaced",
        run: losses::a_lost_node_is_noticed_and_its_tasks_are_replaced,
    },
    Scenario {
        name: "one_manager_takes_over_when_the_others_are_lost",
        run: take_over::one_manager_takes_over_when_the_others_are_lost,
    },
    Scenario {
        name: "locked_managers_wait_for_their_operator",
        run: locked::locked_managers_wait_for_their_operator,
    },
    Scenario {
        name: "the_ca_is_replaced_under_load",
        run: authority::the_ca_is_replaced_under_load,
    },
    Scenario {
        name: "devices_form_a_swarm_without_addresses",
        run: formation::devices_form_a_swarm_without_addresses,
    },
    Scenario {
        name: "every_device_knows_who_is_here",
        run: presence::every_device_knows_who_is_here,
    },
    Scenario {
        name: "failed_tasks_say_why_and_recover",
        run: failures::failed_tasks_say_why_and_recover,
    },
    Scenario {
        name: "bad_input_is_refused_and_changes_nothing",
        run: refusals::bad_input_is_refused_and_changes_nothing,
    },
    Scenario {
        name: "hostile_clients_harm_nobody",
        run: hostile::hostile_clients_harm_nobody,
    },
    Scenario {
        name: "a_data_directory_of_another_swarm_is_refused",
        run: disks::a_data_directory_of_another_swarm_is_refused,
    },
    Scenario {
        name: "a_full_disk_refuses_clearly_and_loses_nothing",
        run: disks::a_full_disk_refuses_clearly_and_loses_nothing,
    },
    Scenario {
        name: "services_are_updated_rolled_back_and_scaled",
        run: rollout::services_are_updated_rolled_back_and_scaled,
    },
    Scenario {
        name: "nodes_take_the_tasks_that_they_should",
        run: rollout::nodes_take_the_tasks_that_they_should,
    },
    Scenario {
        name: "a_global_service_is_on_every_node_that_suits",
        run: modes::a_global_service_is_on_every_node_that_suits,
    },
    Scenario {
        name: "jobs_run_to_their_end_and_no_further",
        run: modes::jobs_run_to_their_end_and_no_further,
    },
    Scenario {
        name: "roles_change_and_removed_nodes_stay_out",
        run: members::roles_change_and_removed_nodes_stay_out,
    },
    Scenario {
        name: "a_container_is_what_its_service_says",
        run: driver::a_container_is_what_its_service_says,
    },
    Scenario {
        name: "tasks_get_what_docker_run_can_ask_for",
        run: options::tasks_get_what_docker_run_can_ask_for,
    },
    Scenario {
        name: "services_reach_each_other_by_name_from_every_device",
        run: overlay::names::services_reach_each_other_by_name_from_every_device,
    },
    Scenario {
        name: "docker_run_joins_attachable_networks_on_any_device",
        run: overlay::attach::docker_run_joins_attachable_networks_on_any_device,
    },
    Scenario {
        name: "a_published_port_answers_on_every_device_with_the_clients_address",
        run: overlay::ingress::a_published_port_answers_on_every_device_with_the_clients_address,
    },
    Scenario {
        name: "a_container_reaches_only_its_own_networks",
        run: overlay::isolation::a_container_reaches_only_its_own_networks,
    },
    Scenario {
        name: "networks_that_do_not_fit_are_refused_and_full_ones_recover",
        run: overlay::plan::networks_that_do_not_fit_are_refused_and_full_ones_recover,
    },
    Scenario {
        name: "an_update_under_load_drops_no_request",
        run: overlay::changes::an_update_under_load_drops_no_request,
    },
    Scenario {
        name: "lost_backends_are_asked_no_more",
        run: overlay::losses::lost_backends_are_asked_no_more,
    },
    Scenario {
        name: "a_device_that_nobody_can_dial_takes_part",
        run: overlay::losses::a_device_that_nobody_can_dial_takes_part,
    },
    Scenario {
        name: "restarts_cut_no_traffic_and_leaving_leaves_nothing",
        run: overlay::restarts::restarts_cut_no_traffic_and_leaving_leaves_nothing,
    },
    Scenario {
        name: "the_doctor_finds_what_keeps_devices_apart",
        run: overlay::doctor::the_doctor_finds_what_keeps_devices_apart,
    },
    Scenario {
        name: "containers_talk_over_the_network_that_is_for_them",
        run: overlay::data_path::containers_talk_over_the_network_that_is_for_them,
    },
    Scenario {
        name: "what_hands_and_crashes_break_is_mended",
        run: overlay::mends::what_hands_and_crashes_break_is_mended,
    },
    Scenario {
        name: "secrets_reach_their_tasks_and_no_disk",
        run: secrets::secrets_reach_their_tasks_and_no_disk,
    },
    Scenario {
        name: "stacks_are_deployed_changed_and_removed",
        run: stacks::stacks_are_deployed_changed_and_removed,
    },
    Scenario {
        name: "logs_come_from_every_node",
        run: logs::logs_come_from_every_node,
    },
    Scenario {
        name: "commands_print_what_docker_prints",
        run: cli::commands_print_what_docker_prints,
    },
    Scenario {
        name: "fifty_swarms_in_a_row_leave_nothing",
        run: again::fifty_swarms_in_a_row_leave_nothing,
    },
    Scenario {
        name: "init_and_join_start_a_daemon_where_none_runs",
        run: cli::init_and_join_start_a_daemon_where_none_runs,
    },
    Scenario {
        name: "dockers_commands_end_as_with_docker",
        run: clients::dockers_commands_end_as_with_docker,
    },
    Scenario {
        name: "docker_py_drives_a_swarm",
        run: clients::docker_py_drives_a_swarm,
    },
    Scenario {
        name: "prometheus_discovers_services_tasks_and_nodes",
        run: discovery::prometheus_discovers_services_tasks_and_nodes,
    },
    Scenario {
        name: "a_private_image_is_pulled_with_the_credentials_of_its_service",
        run: clients::a_private_image_is_pulled_with_the_credentials_of_its_service,
    },
    Scenario {
        name: "an_idle_swarm_writes_nothing",
        run: idle::an_idle_swarm_writes_nothing,
    },
];
