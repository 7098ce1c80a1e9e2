<?php
// A block theme's own style sheet is only loaded where it is asked for.
add_action('wp_enqueue_scripts', function () {
    wp_enqueue_style('entreprise', get_stylesheet_uri(), [], (string) filemtime(get_stylesheet_directory() . '/style.css'));
});
