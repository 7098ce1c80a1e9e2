<?php
/*
Plugin Name: Medicarche
Description: Written by Medicarche; changes are put back. No visitor's browser is sent to others, no login is given away.
*/

// emoji as pictures come from a server of WordPress's; every browser has its own
remove_action('wp_head', 'print_emoji_detection_script', 7);
remove_action('wp_print_styles', 'print_emoji_styles');
add_filter('emoji_svg_url', '__return_false');
remove_action('wp_head', 'wp_generator');
add_filter('the_generator', '__return_empty_string');
// the version would stand in each stylesheet's address; another word of it refreshes browsers' caches as well
$unnamed = fn($address) => is_string($address) ? str_replace(
    'ver=' . wp_get_wp_version(),
    'ver=' . substr(wp_hash(wp_get_wp_version()), 0, 8),
    $address
) : $address;
add_filter('style_loader_src', $unnamed);
add_filter('script_loader_src', $unnamed);
add_filter('xmlrpc_enabled', '__return_false');
add_filter('rest_endpoints', function (array $endpoints): array {
    if (!is_user_logged_in()) {
        unset($endpoints['/wp/v2/users'], $endpoints['/wp/v2/users/(?P<id>[\d]+)']);
    }
    return $endpoints;
});
// ?author=1 would redirect to the administrator's login name
add_action('template_redirect', function () {
    if (is_author() || isset($_GET['author'])) {
        wp_safe_redirect(home_url('/'), 302);
        exit;
    }
}, 1);
// one message for an unknown login and for a wrong password
add_filter('login_errors', fn(): string => 'Identifiant ou mot de passe incorrect.');
